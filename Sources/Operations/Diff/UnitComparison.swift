import Kernels
import Safetensors

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// Compares one unit of a pair, tile by tile. A worker has one and uses it again and again.
final class UnitComparison {
  private let workspace = Workspace()
  private let a = Tile()
  private let b = Tile()

  /// The stored elements of one side, and room for some of them in f32.
  private final class Tile {
    private var bytes: [UInt8] = []
    var values = [Float](repeating: 0, count: TensorPair.pieceElements)

    /// Reads elements `range` of `tensor`; calls `body` with their bytes.
    func read<Result>(
      _ range: Range<Int>, of tensor: ComparedTensor, bits: Int, _ workspace: Workspace,
      _ body: (UnsafeRawBufferPointer) throws -> Result
    ) throws -> Result {
      let (start, end) = (range.lowerBound * bits / 8, range.upperBound * bits / 8)
      if bytes.count < end - start { bytes = [UInt8](repeating: 0, count: end - start) }
      return try bytes.withUnsafeMutableBytes { buffer in
        let wanted = UnsafeMutableRawBufferPointer(rebasing: buffer[..<(end - start)])
        try tensor.source.fill(wanted, range: start..<end, workspace: workspace)
        return try body(UnsafeRawBufferPointer(wanted))
      }
    }
  }

  /// Compares elements `unit` of the pair.
  ///
  /// - Parameter checksums: receives the bytes of both sides, in order.
  func run(
    _ pair: TensorPair, _ unit: Range<Int>,
    checksums: (_ a: UnsafeRawBufferPointer, _ b: UnsafeRawBufferPointer) -> Void
  ) throws -> PairSums {
    var sums = PairSums()
    var rows = RowSums(pair)
    for start in stride(from: unit.lowerBound, to: unit.upperBound, by: pair.tileElements) {
      let tile = start..<min(start + pair.tileElements, unit.upperBound)
      try a.read(tile, of: pair.a, bits: pair.bits.a, workspace) { first in
        try b.read(tile, of: pair.b, bits: pair.bits.b, workspace) { second in
          checksums(first, second)
          if pair.a.dtype != pair.b.dtype || !first.hasSameBytes(as: second) {
            sums.isEqual = false
          }
          compare(pair, tile, first, second, &rows, &sums)
        }
      }
    }
    rows.finish(&sums)
    return sums
  }

  /// Compares the elements of one tile, piece by piece, no piece crossing the end of a row.
  private func compare(
    _ pair: TensorPair, _ tile: Range<Int>, _ first: UnsafeRawBufferPointer,
    _ second: UnsafeRawBufferPointer, _ rows: inout RowSums, _ sums: inout PairSums
  ) {
    guard let (formatA, formatB) = pair.formats else { return }
    let (sizeA, sizeB) = (pair.bits.a / 8, pair.bits.b / 8)
    var at = tile.lowerBound
    while at < tile.upperBound {
      let rowEnd = (at / pair.rowLength + 1) * pair.rowLength
      let end = min(rowEnd, tile.upperBound, at + TensorPair.pieceElements)
      let place = at - tile.lowerBound..<end - tile.lowerBound
      let x = UnsafeRawBufferPointer(
        rebasing: first[place.lowerBound * sizeA..<place.upperBound * sizeA])
      let y = UnsafeRawBufferPointer(
        rebasing: second[place.lowerBound * sizeB..<place.upperBound * sizeB])
      let distance: Int
      if case .wide(let type) = formatA, formatA == formatB {
        let (comparison, apart) = type.compare(x, y, count: place.count)
        rows.add(comparison)
        distance = apart
      } else {
        distance = widened(formatA, x, formatB, y, count: place.count) { x, y in
          rows.add(RowComparison(x, y))
          if pair.features == .columns { rows.addColumns(x, y, from: at % pair.rowLength) }
        }
      }
      sums.distance = max(sums.distance, distance)
      if end == rowEnd { rows.endRow(&sums) }
      at = end
    }
  }

  /// Calls `body` with both pieces in f32; returns their largest distance: in the stored type where that
  /// is the same, otherwise in f32.
  private func widened(
    _ formatA: NumberFormat, _ x: UnsafeRawBufferPointer, _ formatB: NumberFormat,
    _ y: UnsafeRawBufferPointer, count: Int,
    _ body: (UnsafeBufferPointer<Float>, UnsafeBufferPointer<Float>) -> Void
  ) -> Int {
    a.values.withUnsafeMutableBufferPointer { first in
      b.values.withUnsafeMutableBufferPointer { second in
        let first = UnsafeMutableBufferPointer(rebasing: first[..<count])
        let second = UnsafeMutableBufferPointer(rebasing: second[..<count])
        formatA.widen(from: x, to: first)
        formatB.widen(from: y, to: second)
        body(UnsafeBufferPointer(first), UnsafeBufferPointer(second))
        switch formatA {
        case .element(let element) where formatA == formatB:
          return element.largestDistance(x, y)
        case .float8(let type) where formatA == formatB:
          return type.largestDistance(x, y)
        default:
          return ElementType.f32.largestDistance(
            UnsafeRawBufferPointer(first), UnsafeRawBufferPointer(second))
        }
      }
    }
  }
}

/// The row that a unit is at, and the columns of a weight stored `in × out`.
private struct RowSums {
  private let features: TensorPair.Features?
  private var row = RowComparison()
  private var isRowOpen = false
  private var columns: [RowComparison]

  init(_ pair: TensorPair) {
    features = pair.features
    columns =
      pair.features == .columns
      ? [RowComparison](repeating: RowComparison(), count: pair.rowLength) : []
  }

  mutating func add(_ piece: RowComparison) {
    row += piece
    isRowOpen = true
  }

  mutating func endRow(_ sums: inout PairSums) {
    sums.add(row, isFeature: features == .rows)
    row = RowComparison()
    isRowOpen = false
  }

  /// Adds a piece of a row to the sums of its columns, the first of which is `start`.
  mutating func addColumns(
    _ x: UnsafeBufferPointer<Float>, _ y: UnsafeBufferPointer<Float>, from start: Int
  ) {
    for index in x.indices where x[index].isFinite && y[index].isFinite {
      let (p, q) = (Double(x[index]), Double(y[index]))
      columns[start + index].aSquared += p * p
      columns[start + index].bSquared += q * q
      columns[start + index].differenceSquared += (p - q) * (p - q)
    }
  }

  /// The unit is over: a vector's last elements, and all columns.
  mutating func finish(_ sums: inout PairSums) {
    if isRowOpen { endRow(&sums) }
    for column in columns { sums.addFeature(column) }
  }
}

extension UnsafeRawBufferPointer {
  func hasSameBytes(as other: UnsafeRawBufferPointer) -> Bool {
    guard count == other.count else { return false }
    guard let first = baseAddress, let second = other.baseAddress else { return true }
    return memcmp(first, second, count) == 0
  }
}
