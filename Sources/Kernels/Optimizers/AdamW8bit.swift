import CKernels

/// AdamW whose two moments are held in 8 bits: blocks of 256 with a scale each, in the dynamic maps of
/// bitsandbytes (Dettmers et al., "8-bit Optimizers via Block-wise Quantization", arXiv:2110.02861).
/// Codes and scales have the bits of `bitsandbytes.optim.AdamW8bit` on a processor with vectors; values
/// too, but for its square roots, which are not always the nearest.
///
/// Every tensor has blocks of its own. Those with fewer than `smallest` numbers keep their moments in
/// f32, and step as `AdamW` does.
public final class AdamW8bit: Optimizer {
  /// Numbers that share a scale.
  public static let block = 256

  public let groups: [StepGroup]
  public let settings: AdamW.Settings
  public private(set) var steps = 0
  private let segments: [Segment]
  private let memory: StateMemory
  private let codes: Moments<UInt8>
  private let scales: Moments<Float>
  private let small: Moments<Float>

  /// A number for each parameter, or for each block: of m, and of v.
  private struct Moments<Element: BitwiseCopyable> {
    let first: UnsafeMutableBufferPointer<Element>
    let second: UnsafeMutableBufferPointer<Element>

    init(_ count: Int, in memory: StateMemory) {
      first = memory.section(of: count, Element.self)
      second = memory.section(of: count, Element.self)
    }

    static func bytes(_ count: Int) -> Int { 2 * StateMemory.size(of: count, Element.self) }
  }

  /// A tensor, and where its state is.
  private struct Segment {
    let range: Range<Int>
    let group: Int
    /// The first of its codes, or where `isSmall` of its moments.
    let start: Int
    /// The first of its scales.
    let block: Int
    let isSmall: Bool
  }

  /// - Parameters:
  ///   - groups: each tensor lies in one of them or in none.
  ///   - folder: where the state is paged to; nil: it stays in memory. The results are the same.
  public init(
    _ parameters: TrainableParameters<Float>, groups: [StepGroup],
    settings: AdamW.Settings = AdamW.Settings(), smallest: Int = 4096, paging folder: String? = nil
  ) throws(OptimizerError) {
    self.groups = groups
    self.settings = settings
    var segments: [Segment] = []
    var (large, blocks, few) = (0, 0, 0)
    for entry in parameters.entries where !entry.range.isEmpty {
      guard let group = groups.firstIndex(where: { $0.range.overlaps(entry.range) }) else {
        continue
      }
      precondition(groups[group].range.clamped(to: entry.range) == entry.range)
      let isSmall = entry.range.count < smallest
      segments.append(
        Segment(
          range: entry.range, group: group, start: isSmall ? few : large, block: blocks,
          isSmall: isSmall))
      if isSmall {
        few += entry.range.count
      } else {
        large += entry.range.count
        blocks += (entry.range.count + Self.block - 1) / Self.block
      }
    }
    self.segments = segments
    memory = try StateMemory(
      bytes: Moments<UInt8>.bytes(large) + Moments<Float>.bytes(blocks) + Moments<Float>.bytes(few),
      paging: folder)
    codes = Moments(large, in: memory)
    scales = Moments(blocks, in: memory)
    small = Moments(few, in: memory)
  }

  public func step(
    _ parameters: TrainableParameters<Float>, learningRate: Double, pool: ThreadPool
  ) {
    steps += 1
    guard let values = parameters.values.values.baseAddress,
      let gradients = parameters.gradients.values.baseAddress
    else { return }
    let numbers = groups.map {
      settings.kernel(
        learningRate: learningRate * $0.rate, weightDecay: $0.weightDecay, step: steps)
    }
    for segment in segments {
      let (values, gradients) = (
        values + segment.range.lowerBound, gradients + segment.range.lowerBound
      )
      for window in memory.windows(of: 0..<segment.range.count) {
        let numbers = numbers[segment.group]
        if segment.isSmall {
          stepSmall(segment, numbers, gradients, values)
        } else {
          let count = (window.count + Self.block - 1) / Self.block
          pool.split(count, least: 32) { blocks in
            for block in blocks {
              let start = window.lowerBound + block * Self.block
              stepBlock(
                segment, start..<min(start + Self.block, window.upperBound), numbers, gradients,
                values)
            }
          }
        }
        memory.release()
      }
    }
  }

  private func stepSmall(
    _ segment: Segment, _ numbers: ck_adamw, _ gradients: UnsafePointer<Float>,
    _ values: UnsafeMutablePointer<Float>
  ) {
    guard let first = small.first.baseAddress, let second = small.second.baseAddress else { return }
    withUnsafePointer(to: numbers) {
      ck_layer().pointee.adamw(
        $0, segment.range.count, gradients, values, first + segment.start, second + segment.start)
    }
  }

  /// - Parameter range: a block, counted in the tensor's numbers.
  private func stepBlock(
    _ segment: Segment, _ range: Range<Int>, _ numbers: ck_adamw,
    _ gradients: UnsafePointer<Float>, _ values: UnsafeMutablePointer<Float>
  ) {
    let at = range.lowerBound
    guard let m = codes.first.baseAddress, let v = codes.second.baseAddress,
      let mScales = scales.first.baseAddress, let vScales = scales.second.baseAddress
    else { return }
    let block = segment.block + at / Self.block
    let code = segment.start + at
    withUnsafeTemporaryAllocation(of: Float.self, capacity: 2 * Self.block) { decoded in
      guard let first = decoded.baseAddress else { return }
      let second = first + Self.block
      let (signed, unsigned) = (DynamicMap.signed, DynamicMap.unsigned)
      ck_nested_restore(signed.values, m + code, mScales + block, 0, 0, range.count, first)
      ck_nested_restore(unsigned.values, v + code, vScales + block, 0, 0, range.count, second)
      withUnsafePointer(to: numbers) {
        ck_layer().pointee.adamw_decoded(
          $0, range.count, gradients + at, values + at, first, second)
      }
      ck_nested_encode_by_lookup(
        first, range.count, 0, signed.lookup, m + code, mScales + block)
      ck_nested_encode_by_lookup(
        second, range.count, 0, unsigned.lookup, v + code, vScales + block)
    }
  }

  public var state: OptimizerState {
    OptimizerState(
      steps: steps,
      values: [
        "state1": .bytes(Array(codes.first)), "state2": .bytes(Array(codes.second)),
        "absmax1": .real(Array(scales.first)), "absmax2": .real(Array(scales.second)),
        "exp_avg": .real(Array(small.first)), "exp_avg_sq": .real(Array(small.second)),
      ])
  }

  public func restore(_ state: OptimizerState) throws(OptimizerError) {
    let first = try state.bytes("state1", count: codes.first.count)
    let second = try state.bytes("state2", count: codes.second.count)
    _ = codes.first.update(fromContentsOf: first)
    _ = codes.second.update(fromContentsOf: second)
    for (name, target) in [
      ("absmax1", scales.first), ("absmax2", scales.second), ("exp_avg", small.first),
      ("exp_avg_sq", small.second),
    ] {
      _ = target.update(fromContentsOf: try state.reals(name, count: target.count))
    }
    steps = state.steps
  }

  public func reset() {
    steps = 0
    memory.clear()
  }
}
