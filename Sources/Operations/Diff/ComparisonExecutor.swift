import Kernels
import Safetensors
import Synchronization

/// Compares pairs of tensors: workers take units, and each holds one tile of either side.
///
/// Units are the same and their sums are added in the same order whatever the number of workers.
struct ComparisonExecutor: Sendable {
  let pairs: [TensorPair]
  let threads: Int
  let progress: ProgressReport?

  /// What was found, pair by pair.
  func run() throws -> [PairSums] {
    let states = pairs.map(PairState.init)
    let units = pairs.indices.flatMap { pair in (0..<pairs[pair].units).map { (pair, $0) } }
    progress?.expect(pairs.reduce(0) { $0 + $1.bytes })
    let next = Atomic<Int>(0)
    let stopped = Atomic<Bool>(false)
    try Workers.run(count: max(1, min(threads, units.count))) { _ in
      let comparison = UnitComparison()
      let workspace = Workspace()
      do {
        while !stopped.load(ordering: .relaxed) {
          let index = next.add(1, ordering: .relaxed).oldValue
          guard index < units.count else { return }
          let (pair, unit) = units[index]
          try states[pair].run(unit, comparison, workspace)
          progress?.add(pairs[pair].bytes / pairs[pair].units)
        }
      } catch {
        stopped.store(true, ordering: .relaxed)
        throw error
      }
    }
    return states.map(\.sums)
  }
}

/// How far one pair has come.
private final class PairState: Sendable {
  private struct Unit {
    var sums: PairSums
    var checksums: (a: UInt32, b: UInt32)
  }

  private struct State {
    var isOpen = false
    var units: [Unit?]
    var remaining: Int
    var sums = PairSums()
  }

  private let pair: TensorPair
  private let state: Mutex<State>
  /// Computed tensors are told the checksum of what they gave.
  private let isComputed: Bool

  init(_ pair: TensorPair) {
    self.pair = pair
    isComputed = pair.a.source.copied == nil || pair.b.source.copied == nil
    state = Mutex(State(units: Array(repeating: nil, count: pair.units), remaining: pair.units))
  }

  var sums: PairSums {
    state.withLock { state in
      var sums = state.sums
      if pair.count == 0, pair.a.dtype != pair.b.dtype { sums.isEqual = false }
      return sums
    }
  }

  func run(_ index: Int, _ comparison: UnitComparison, _ workspace: Workspace) throws {
    try state.withLock { state in
      guard !state.isOpen else { return }
      try pair.a.source.open(workspace)
      try pair.b.source.open(workspace)
      state.isOpen = true
    }
    var checksums = (a: CRC32(), b: CRC32())
    let sums = try comparison.run(pair, pair.elements(index)) { first, second in
      guard isComputed else { return }
      checksums.a.update(first)
      checksums.b.update(second)
    }
    let unit = Unit(sums: sums, checksums: (checksums.a.value, checksums.b.value))
    try state.withLock { state in
      state.units[index] = unit
      state.remaining -= 1
      guard state.remaining == 0 else { return }
      try finish(&state)
    }
  }

  /// Adds up the units in their order, and lets go of what the sources hold.
  private func finish(_ state: inout State) throws {
    var checksums: (a: UInt32, b: UInt32) = (0, 0)
    for (index, unit) in state.units.enumerated() {
      guard let unit else { continue }
      state.sums += unit.sums
      let elements = pair.elements(index).count
      checksums.a = CRC32.combine(
        checksums.a, unit.checksums.a, lengthOfB: elements * pair.bits.a / 8)
      checksums.b = CRC32.combine(
        checksums.b, unit.checksums.b, lengthOfB: elements * pair.bits.b / 8)
    }
    state.units = []
    try pair.a.source.close(checksum: checksums.a)
    try pair.b.source.close(checksum: checksums.b)
  }
}
