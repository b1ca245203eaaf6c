import Kernels
import Safetensors
import Synchronization

/// Carries out an output plan: cuts every file into blocks, and lets workers fill and write them.
///
/// Memory is one block and the sources' working buffers per worker, whatever the size of the model.
/// The files do not depend on the number of workers.
struct OutputExecutor: Sendable {
  /// Bytes per block: large enough that a block costs far more than handing it out, small enough to
  /// stay near the caches.
  static let blockSize = 4 << 20

  let plan: OutputPlan
  let folder: String
  let threads: Int
  let progress: ProgressReport?

  /// The CRC-32 of every tensor written, shard by shard, in the layouts' order.
  func run() throws -> [[UInt32]] {
    let files = try plan.shards.map {
      try DirectFile(path: folder + "/" + $0.name, size: $0.layout.fileSize)
    }
    let states = plan.shards.map { shard in
      shard.layout.tensors.indices.map { TensorState(bytes: shard.layout.tensors[$0].byteCount) }
    }
    var blocks: [(shard: Int, range: Range<Int>)] = []
    for (index, shard) in plan.shards.enumerated() {
      for start in stride(from: 0, to: shard.layout.fileSize, by: Self.blockSize) {
        blocks.append((index, start..<min(start + Self.blockSize, shard.layout.fileSize)))
      }
    }
    let queue = blocks
    let next = Atomic<Int>(0)
    let stopped = Atomic<Bool>(false)
    try Workers.run(count: max(1, min(threads, queue.count))) { _ in
      let workspace = Workspace()
      let block = UnsafeMutableRawBufferPointer.allocate(
        byteCount: Self.blockSize, alignment: DirectFile.alignment)
      defer { block.deallocate() }
      do {
        while !stopped.load(ordering: .relaxed) {
          let index = next.add(1, ordering: .relaxed).oldValue
          guard index < queue.count else { return }
          let (shard, range) = queue[index]
          let bytes = UnsafeMutableRawBufferPointer(rebasing: block[..<range.count])
          try fill(bytes, range: range, of: plan.shards[shard], states[shard], workspace)
          try files[shard].write(UnsafeRawBufferPointer(bytes), at: range.lowerBound)
          progress?.add(range.count)
        }
      } catch {
        stopped.store(true, ordering: .relaxed)
        throw error
      }
    }
    for file in files { try file.finish() }
    return states.map { $0.map(\.checksum) }
  }

  /// Fills one block of a file.
  private func fill(
    _ output: UnsafeMutableRawBufferPointer, range: Range<Int>, of shard: OutputPlan.Shard,
    _ states: [TensorState], _ workspace: Workspace
  ) throws {
    let layout = shard.layout
    if range.lowerBound < layout.bodyStart {
      let part = range.clamped(to: 0..<layout.bodyStart)
      layout.leadingBytes.withUnsafeBytes {
        output.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[part]))
      }
    }
    let body = range.clamped(to: layout.bodyStart..<layout.fileSize)
    var index = layout.firstTensor(endingAfter: body.lowerBound - layout.bodyStart)
    while index < layout.tensors.count {
      let tensor = layout.tensors[index]
      let start = layout.bodyStart + tensor.offsets.lowerBound
      guard start < body.upperBound else { break }
      // A tensor without elements is never opened: there is nothing to ask it for.
      guard tensor.byteCount > 0 else {
        index += 1
        continue
      }
      let source = shard.sources[index]
      let part = body.clamped(to: start..<start + tensor.byteCount)
      let state = states[index]
      try state.open { try source.open(workspace) }
      let wanted = part.lowerBound - start..<part.upperBound - start
      let target = UnsafeMutableRawBufferPointer(
        rebasing: output[part.lowerBound - range.lowerBound..<part.upperBound - range.lowerBound])
      try source.fill(target, range: wanted, workspace: workspace)
      let crc = CRC32.of(UnsafeRawBufferPointer(target))
      if let checksum = state.finish(range: wanted, crc: crc) {
        try source.close(checksum: checksum)
      }
      index += 1
    }
  }
}

/// How far one tensor has come.
private final class TensorState: Sendable {
  private struct Progress {
    var isOpen = false
    var remaining: Int
    var parts: [(start: Int, length: Int, crc: UInt32)] = []
    var checksum: UInt32 = 0
  }

  private let progress: Mutex<Progress>

  init(bytes: Int) {
    progress = Mutex(Progress(remaining: bytes))
  }

  /// Runs `body` for the first caller; the others wait until it is done.
  func open(_ body: () throws -> Void) throws {
    try progress.withLock { progress in
      guard !progress.isOpen else { return }
      try body()
      progress.isOpen = true
    }
  }

  /// Counts a part as written; returns the tensor's CRC-32 with the last one.
  func finish(range: Range<Int>, crc: UInt32) -> UInt32? {
    progress.withLock { progress in
      progress.parts.append((range.lowerBound, range.count, crc))
      progress.remaining -= range.count
      guard progress.remaining == 0 else { return nil }
      progress.parts.sort { $0.start < $1.start }
      progress.checksum = progress.parts.reduce(0) {
        CRC32.combine($0, $1.crc, lengthOfB: $1.length)
      }
      progress.parts = []
      return progress.checksum
    }
  }

  var checksum: UInt32 { progress.withLock { $0.checksum } }
}

extension SafetensorsLayout {
  /// The first tensor with bytes at or behind `offset` of the body.
  fileprivate func firstTensor(endingAfter offset: Int) -> Int {
    var low = 0
    var high = tensors.count
    while low < high {
      let middle = (low + high) / 2
      if tensors[middle].offsets.upperBound > offset { high = middle } else { low = middle + 1 }
    }
    return low
  }
}
