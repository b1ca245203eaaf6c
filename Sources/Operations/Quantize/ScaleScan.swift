import Kernels
import Synchronization

/// What must be known of a weight's scales before its tensors can be laid out: their mean is part of a
/// text, whose length depends on it.
struct ScannedScales: Sendable {
  let offset: Float
  /// The scales' own scales.
  let absmax: [Float]
  /// The scales in 8 bits; nil where a model has too many to hold.
  let scales: NestedScales?
}

/// A first look at all weights: finds the scales, and refuses elements that are not finite.
///
/// Weights are read in pieces by all workers; memory is the scales of the few weights that are being
/// looked at, and what is kept of the others: one byte for each block, up to a limit.
struct ScaleScan: Sendable {
  let sources: [QuantizedSource]
  let format: FourBitFormat
  let threads: Int
  let progress: ProgressReport?

  /// Codes of the scales that are kept in all.
  private static let keptCodes = 48 << 20
  /// Elements of one job.
  private static let jobElements = 1 << 21

  func run() throws -> [ScannedScales] {
    let keepsCodes =
      sources.reduce(0) { $0 + format.blocks(elements: $1.count) } <= Self.keptCodes
    let step = max(Self.jobElements, FourBitLayer.granularity(format))
    let jobs: [(layer: Int, range: Range<Int>)] = sources.indices.flatMap { layer in
      let count = sources[layer].count
      return stride(from: 0, to: count, by: step).map { (layer, $0..<min($0 + step, count)) }
    }
    let states = sources.map { source in
      ScanState(jobs: (source.count + step - 1) / step)
    }
    let next = Atomic<Int>(0)
    let stopped = Atomic<Bool>(false)
    try Workers.run(count: max(1, min(threads, jobs.count))) { _ in
      let workspace = Workspace()
      do {
        while !stopped.load(ordering: .relaxed) {
          let index = next.add(1, ordering: .relaxed).oldValue
          guard index < jobs.count else { return }
          let (layer, range) = jobs[index]
          let source = sources[layer]
          // Each job holds the weight open, so that it stays so until the last is done.
          try source.elements.open(workspace)
          var absmax: [Float] = []
          absmax.reserveCapacity(format.blocks(elements: range.count))
          for part in FourBitLayer.pieces(of: range, count: source.count, format: format) {
            absmax += try FourBitLayer.read(
              part, of: source, format: format, workspace: workspace
            ).absmax
          }
          states[layer].finish(job: range.lowerBound / step, absmax, keepsCodes: keepsCodes)
          try source.elements.close()
          progress?.add(range.count * source.elements.element.size)
        }
      } catch {
        stopped.store(true, ordering: .relaxed)
        throw error
      }
    }
    return states.compactMap(\.result)
  }
}

/// How far the look at one weight has come.
private final class ScanState: Sendable {
  private struct Progress {
    var parts: [[Float]]
    var remaining: Int
    var result: ScannedScales?
  }

  private let progress: Mutex<Progress>

  init(jobs: Int) {
    progress = Mutex(
      Progress(parts: Array(repeating: [], count: jobs), remaining: jobs, result: nil))
  }

  var result: ScannedScales? { progress.withLock { $0.result } }

  /// Takes the scales of a part; with the last one they are quantized.
  func finish(job: Int, _ absmax: [Float], keepsCodes: Bool) {
    let whole = progress.withLock { progress -> [Float]? in
      progress.parts[job] = absmax
      progress.remaining -= 1
      guard progress.remaining == 0 else { return nil }
      defer { progress.parts = [] }
      var whole: [Float] = []
      whole.reserveCapacity(progress.parts.reduce(0) { $0 + $1.count })
      for part in progress.parts { whole += part }
      return whole
    }
    guard let whole else { return }
    let scales = NestedScales(quantizing: whole)
    let result = ScannedScales(
      offset: scales.offset, absmax: scales.absmax, scales: keepsCodes ? scales : nil)
    progress.withLock { $0.result = result }
  }
}
