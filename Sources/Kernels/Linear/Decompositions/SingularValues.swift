/// `A = Uᵀ·diag(S)·V`, thin: U and V with orthonormal rows, S descending and not negative.
///
/// One-sided Jacobi rotations: every singular value is within a small multiple of 2⁻⁵³·‖A‖, and
/// vectors are orthonormal to the same degree. Time grows with `rows · columns · min(rows, columns)`
/// and some ten sweeps: for matrices up to about 1000. Signs are those that the rotations leave.
///
/// Source: Hestenes 1958; Golub and Van Loan, Matrix Computations, section 8.6.3.
public struct SingularValues: Sendable {
  public let values: [Double]
  /// Row k is the left vector of `values[k]`: `k × rows`.
  public let left: DenseMatrix
  /// Row k is the right vector of `values[k]`: `k × columns`.
  public let right: DenseMatrix

  public init(_ matrix: DenseMatrix) {
    if matrix.rows < matrix.columns {
      let swapped = SingularValues(matrix.transposed)
      (values, left, right) = (swapped.values, swapped.right, swapped.left)
      return
    }
    let (length, count) = (matrix.rows, matrix.columns)
    // A tall matrix is rotated through its R, as small as the result.
    let qr = length > count ? QRDecomposition(matrix) : nil
    let core = qr?.r ?? matrix
    var columns = core.transposed
    var rotations = DenseMatrix(identity: count)
    // A handful suffices; the limit is for elements that are not finite.
    var sweeps = 0
    while sweeps < 60, orthogonalizationSweep(&columns, &rotations) { sweeps += 1 }

    let norms = (0..<count).map { columns.row($0).withUnsafeBufferPointer { dot($0, $0) } }
      .map { $0.squareRoot() }
    let order = norms.indices.sorted { (-norms[$0], $0) < (-norms[$1], $1) }
    var unit = DenseMatrix(rows: count, columns: count)
    var right = DenseMatrix(rows: count, columns: count)
    for (target, source) in order.enumerated() {
      for index in 0..<count {
        unit[target, index] = norms[source] > 0 ? columns[source, index] / norms[source] : 0
        right[target, index] = rotations[source, index]
      }
    }
    values = order.map { norms[$0] }
    completeOrthonormalRows(&unit, rank: values.prefix { $0 > 0 }.count)
    left = qr.map { unit.multiplied(by: $0.q.transposed) } ?? unit
    self.right = right
  }
}

/// Rotates every pair of rows of `columns` that is not orthogonal until it is, and the same rows of
/// `rotations` with it. False when there was nothing to do.
private func orthogonalizationSweep(
  _ columns: inout DenseMatrix, _ rotations: inout DenseMatrix
) -> Bool {
  let (count, length) = (columns.rows, columns.columns)
  var rotated = false
  // What rounding alone leaves of the product of two orthogonal columns.
  let tolerance = 0x1p-52 * Double(8 + length / 8)
  columns.values.withUnsafeMutableBufferPointer { columns in
    rotations.values.withUnsafeMutableBufferPointer { rotations in
      for first in 0..<count {
        for second in first + 1..<max(count, first + 1) {
          let p = UnsafeMutableBufferPointer(
            rebasing: columns[first * length..<(first + 1) * length])
          let q = UnsafeMutableBufferPointer(
            rebasing: columns[second * length..<(second + 1) * length])
          let (pp, qq, pq) = (
            dot(UnsafeBufferPointer(p), UnsafeBufferPointer(p)),
            dot(UnsafeBufferPointer(q), UnsafeBufferPointer(q)),
            dot(UnsafeBufferPointer(p), UnsafeBufferPointer(q))
          )
          guard abs(pq) > tolerance * pp.squareRoot() * qq.squareRoot() else { continue }
          rotated = true
          let ratio = (qq - pp) / (2 * pq)
          let tangent = (ratio < 0 ? -1 : 1) / (abs(ratio) + (1 + ratio * ratio).squareRoot())
          let cosine = 1 / (1 + tangent * tangent).squareRoot()
          rotate(p, q, sine: tangent * cosine, cosine: cosine)
          rotate(
            UnsafeMutableBufferPointer(rebasing: rotations[first * count..<(first + 1) * count]),
            UnsafeMutableBufferPointer(rebasing: rotations[second * count..<(second + 1) * count]),
            sine: tangent * cosine, cosine: cosine)
        }
      }
    }
  }
  return rotated
}

private func rotate(
  _ p: UnsafeMutableBufferPointer<Double>, _ q: UnsafeMutableBufferPointer<Double>, sine: Double,
  cosine: Double
) {
  for index in p.indices {
    let value = p[index]
    p[index] = cosine * value - sine * q[index]
    q[index] = sine * value + cosine * q[index]
  }
}

/// Fills the rows from `rank` on with unit vectors made orthogonal to the rows before them.
private func completeOrthonormalRows(_ matrix: inout DenseMatrix, rank: Int) {
  let length = matrix.columns
  var candidate = 0
  for row in rank..<max(matrix.rows, rank) {
    while true {
      var vector = [Double](repeating: 0, count: length)
      vector[candidate] = 1
      candidate += 1
      // Twice is enough for orthogonality to working precision.
      for _ in 0..<2 {
        for other in 0..<row {
          let overlap = zip(vector, matrix.row(other)).reduce(0) { $0 + $1.0 * $1.1 }
          for index in 0..<length { vector[index] -= overlap * matrix[other, index] }
        }
      }
      let norm = vector.reduce(0) { $0 + $1 * $1 }.squareRoot()
      // Of the unit vectors, enough lie this far from a space that is not the whole.
      if norm * norm * Double(2 * length) > 1 {
        for index in 0..<length { matrix[row, index] = vector[index] / norm }
        break
      }
    }
  }
}
