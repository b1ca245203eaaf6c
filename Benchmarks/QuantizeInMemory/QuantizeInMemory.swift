import Kernels

/// Times NF4 quantization with double quantization of a weight that is in memory, 4096 × 4096 in bf16:
/// scales, their 8-bit codes, codes of the elements and what they lost. All that bitsandbytes'
/// `quantize_4bit` with `compress_statistics` computes, and the errors.
///
///     quantize-in-memory THREADS RUNS
///
/// prints the seconds of each run, one in a line.
@main
struct QuantizeInMemory {
  private static let side = 4096
  /// Elements of one job.
  private static let part = 1 << 17

  static func main() throws {
    let numbers = CommandLine.arguments.dropFirst().compactMap { Int($0) }
    guard numbers.count == 2, numbers.allSatisfy({ $0 > 0 }) else {
      print("usage: quantize-in-memory THREADS RUNS")
      return
    }
    let weight = try Weight(elements: side * side)
    let pool = ThreadPool(count: numbers[0])
    let clock = ContinuousClock()
    for _ in 0..<numbers[1] {
      let elapsed = clock.measure { weight.quantize(part: part, pool) }
      print(Double(elapsed.components.attoseconds) * 1e-18 + Double(elapsed.components.seconds))
    }
  }
}

/// A weight and all that quantization writes; parts are quantized by several threads.
private struct Weight: @unchecked Sendable {
  private let elements: UnsafeMutableRawBufferPointer
  private let packed: UnsafeMutableRawBufferPointer
  private let absmax: UnsafeMutableBufferPointer<Float>
  private let restored: UnsafeMutableBufferPointer<Float>
  private let format: FourBitFormat
  private let count: Int

  /// Sums of four uniform numbers, as bell-shaped as weights are; the same every time.
  init(elements count: Int) throws {
    format = try FourBitFormat()
    self.count = count
    elements = .allocate(byteCount: 2 * count, alignment: 64)
    packed = .allocate(byteCount: format.packedBytes(elements: count), alignment: 64)
    absmax = .allocate(capacity: format.blocks(elements: count))
    restored = .allocate(capacity: absmax.count)
    var state: UInt32 = 12345
    for index in 0..<count {
      var sum: Float = 0
      for _ in 0..<4 {
        state = state &* 1_664_525 &+ 1_013_904_223
        sum += Float(state >> 8) * 0x1p-24 - 0.5
      }
      let bits = UInt16(truncatingIfNeeded: (sum * 0.035).bitPattern >> 16)
      elements.storeBytes(of: bits, toByteOffset: 2 * index, as: UInt16.self)
    }
  }

  func quantize(part: Int, _ pool: ThreadPool) {
    let jobs = (count + part - 1) / part
    func range(_ job: Int) -> Range<Int> { job * part..<min((job + 1) * part, count) }
    func blocks(_ job: Int) -> Range<Int> {
      range(job).lowerBound / format.blockSize..<(range(job).upperBound + format.blockSize - 1)
        / format.blockSize
    }
    func source(_ job: Int) -> UnsafeRawBufferPointer {
      UnsafeRawBufferPointer(
        rebasing: elements[2 * range(job).lowerBound..<2 * range(job).upperBound])
    }
    pool.run(jobs) { job in
      format.findScales(
        of: source(job), as: .bf16, into: UnsafeMutableBufferPointer(rebasing: absmax[blocks(job)]))
    }
    let scales = NestedScales(quantizing: Array(absmax))
    pool.run(jobs) { job in
      let restored = UnsafeMutableBufferPointer(rebasing: restored[blocks(job)])
      scales.restore(blocks(job), into: restored)
      let codes = range(job).lowerBound / 2..<(range(job).upperBound + 1) / 2
      _ = format.encode(
        source(job), as: .bf16,
        absmax: UnsafeBufferPointer(rebasing: absmax[blocks(job)]),
        restored: UnsafeBufferPointer(restored),
        packed: UnsafeMutableRawBufferPointer(rebasing: packed[codes]))
    }
  }
}
