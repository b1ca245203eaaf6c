import Kernels
import Safetensors

/// The rows of B − A in f32, read from both sides; elements that are not finite in both count as 0.
final class DifferenceRows: RowSource {
  let rows: Int
  let columns: Int
  private let pair: TensorPair
  private let formats: (a: NumberFormat, b: NumberFormat)
  private let workspace: Workspace
  private var bytes: (a: [UInt8], b: [UInt8]) = ([], [])
  private var values: [Float] = []

  /// nil for what is no matrix. The pair's sources have to be open.
  init?(_ pair: TensorPair, _ workspace: Workspace) {
    guard pair.features != nil, let formats = pair.formats else { return nil }
    (self.pair, self.formats, self.workspace) = (pair, formats, workspace)
    columns = pair.rowLength
    rows = pair.count / pair.rowLength
  }

  func read(into band: RowBand) throws {
    let elements = band.rows.lowerBound * columns..<band.rows.upperBound * columns
    try Self.read(elements, of: pair.a, workspace, into: &bytes.a)
    try Self.read(elements, of: pair.b, workspace, into: &bytes.b)
    if values.count < elements.count { values = [Float](repeating: 0, count: elements.count) }
    bytes.b.withUnsafeBytes {
      formats.b.widen(
        from: UnsafeRawBufferPointer(rebasing: $0[..<(elements.count * pair.bits.b / 8)]),
        to: band.values)
    }
    bytes.a.withUnsafeBytes { stored in
      values.withUnsafeMutableBufferPointer { values in
        let first = UnsafeMutableBufferPointer(rebasing: values[..<elements.count])
        formats.a.widen(
          from: UnsafeRawBufferPointer(rebasing: stored[..<(elements.count * pair.bits.a / 8)]),
          to: first)
        let target = band.values
        for index in target.indices {
          let difference = target[index] - first[index]
          target[index] = difference.isFinite ? difference : 0
        }
      }
    }
  }

  private static func read(
    _ elements: Range<Int>, of tensor: ComparedTensor, _ workspace: Workspace,
    into bytes: inout [UInt8]
  ) throws {
    let size = tensor.dtype.bits / 8
    let range = elements.lowerBound * size..<elements.upperBound * size
    if bytes.count < range.count { bytes = [UInt8](repeating: 0, count: range.count) }
    try bytes.withUnsafeMutableBytes {
      try tensor.source.fill(
        UnsafeMutableRawBufferPointer(rebasing: $0[..<range.count]), range: range,
        workspace: workspace)
    }
  }

  /// Calls `body` with every row in turn.
  private func forEachRow(_ body: (Int, UnsafeBufferPointer<Float>) -> Void) throws {
    let height = max(1, (1 << 18) / columns)
    var tile = [Float](repeating: 0, count: height * columns)
    for start in stride(from: 0, to: rows, by: height) {
      let range = start..<min(start + height, rows)
      try tile.withUnsafeMutableBufferPointer {
        let band = RowBand(rows: range, columns: columns, values: $0)
        try read(into: band)
        for row in range { body(row, UnsafeBufferPointer(band[row])) }
      }
    }
  }

  /// The products with `count` vectors, rows of `vectors`: `count × rows`.
  func images(of vectors: [Float], count: Int) throws -> [Float] {
    var images = [Float](repeating: 0, count: count * rows)
    try vectors.withUnsafeBufferPointer { vectors in
      try forEachRow { row, values in
        for index in 0..<count {
          let vector = vectors[index * columns..<(index + 1) * columns]
          images[index * rows + row] = Float(
            VectorArithmetic.dot(values, UnsafeBufferPointer(rebasing: vector)))
        }
      }
    }
    return images
  }

  /// Sums of the rows weighted by `count` vectors, rows of `weights`: `count × columns`.
  func combinations(by weights: [Float], count: Int) throws -> [Float] {
    var sums = [Float](repeating: 0, count: count * columns)
    try sums.withUnsafeMutableBufferPointer { sums in
      try forEachRow { row, values in
        for index in 0..<count {
          let target = sums[index * columns..<(index + 1) * columns]
          VectorArithmetic.add(
            values, times: weights[index * rows + row],
            to: UnsafeMutableBufferPointer(rebasing: target))
        }
      }
    }
    return sums
  }
}
