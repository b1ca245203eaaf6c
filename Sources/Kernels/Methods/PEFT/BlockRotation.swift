/// Square blocks along the diagonal of a matrix that acts on the inputs: `row' = row·Rᵀ`, block by block.
///
/// Arithmetic: blocks in f32; each output is summed by fused multiply-add in ascending input order.
struct BlockRotation: Sendable {
  /// Elements per side.
  let size: Int
  /// Blocks one after the other, each transposed: element [k, j] of a block is R[j, k]. With a single
  /// one, all places share it.
  private let blocks: [Float]

  /// - Parameter blocks: R of each block.
  init(_ blocks: [DenseMatrix]) {
    size = blocks.first?.rows ?? 1
    self.blocks = blocks.flatMap(\.transposed.floats)
  }

  /// Writes the rotated `values` into `result`, which holds zeros.
  func rotate(
    _ values: UnsafeBufferPointer<Float>, into result: UnsafeMutableBufferPointer<Float>
  ) {
    let count = blocks.count / (size * size)
    blocks.withUnsafeBufferPointer { blocks in
      for place in 0..<values.count / size {
        let part = result.slice(place * size..<(place + 1) * size)
        let first = (count == 1 ? 0 : place) * size
        for k in 0..<size {
          part.addProduct(values[place * size + k], blocks.row(first + k, columns: size))
        }
      }
    }
  }

  /// `(I − Q)·(I + Q)⁻¹`, an orthogonal matrix where Q is skew-symmetric. The two commute.
  ///
  /// Source: Cayley 1846.
  static func cayley(_ q: DenseMatrix) throws(LUDecomposition.Singular) -> DenseMatrix {
    var plus = q
    var minus = q
    for index in minus.values.indices { minus.values[index] = -q.values[index] }
    for index in 0..<q.rows {
      plus[index, index] += 1
      minus[index, index] += 1
    }
    return try LUDecomposition(plus).solve(minus)
  }
}

/// Turns every row with one block rotation.
struct BlockRotationUpdate: RowwiseTransform {
  let rotation: BlockRotation
  let rows: Int
  let columns: Int

  var scratchCount: Int { columns }

  func transform(
    row: Int, _ values: UnsafeMutableBufferPointer<Float>,
    base: UnsafeMutableBufferPointer<Float>, scratch: UnsafeMutableBufferPointer<Float>
  ) {
    _ = scratch.update(fromContentsOf: values)
    values.update(repeating: 0)
    rotation.rotate(UnsafeBufferPointer(scratch), into: values)
  }
}
