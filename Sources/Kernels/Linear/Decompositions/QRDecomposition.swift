/// `A = Q·R`, thin: Q with orthonormal columns, R upper triangular, by Householder reflections.
///
/// Source: Golub and Van Loan, Matrix Computations, algorithm 5.2.1. Diagonal elements of R have the
/// sign that avoids cancellation, as in LAPACK; a column that depends on those before it gives a
/// column of Q that is orthonormal all the same.
public struct QRDecomposition: Sendable {
  /// `rows × k`, k the smaller dimension of A.
  public let q: DenseMatrix
  /// `k × columns`.
  public let r: DenseMatrix

  public init(_ matrix: DenseMatrix) {
    let (rows, columns) = (matrix.rows, matrix.columns)
    let count = min(rows, columns)
    // Columns of A are kept as rows here, so that a reflection runs along memory.
    var a = matrix.transposed.values
    var reflectors: [[Double]] = []
    a.withUnsafeMutableBufferPointer { a in
      for k in 0..<count {
        let reflector = householder(
          of: UnsafeBufferPointer(rebasing: a[k * rows + k..<(k + 1) * rows]))
        for column in k..<columns {
          reflect(
            UnsafeMutableBufferPointer(rebasing: a[column * rows + k..<(column + 1) * rows]),
            by: reflector)
        }
        reflectors.append(reflector)
      }
    }
    var r = DenseMatrix(rows: count, columns: columns)
    for row in 0..<count {
      for column in row..<columns { r[row, column] = a[column * rows + row] }
    }
    // Q = H₀·H₁·…·I: the reflections are applied to unit vectors, the last one first.
    var q = [Double](repeating: 0, count: count * rows)
    q.withUnsafeMutableBufferPointer { q in
      for column in 0..<count { q[column * rows + column] = 1 }
      for k in stride(from: count - 1, through: 0, by: -1) {
        for column in k..<count {
          reflect(
            UnsafeMutableBufferPointer(rebasing: q[column * rows + k..<(column + 1) * rows]),
            by: reflectors[k])
        }
      }
    }
    self.q = DenseMatrix(rows: count, columns: rows, values: q).transposed
    self.r = r
  }
}

/// v with `(I − v·vᵀ)·x = ∓‖x‖·e₁`, ‖v‖ = √2; zeros when x is zero (the identity).
func householder(of x: UnsafeBufferPointer<Double>) -> [Double] {
  var largest = 0.0
  for value in x { largest = max(largest, abs(value)) }
  guard largest > 0 else { return [Double](repeating: 0, count: x.count) }
  // Scaled, so that squares neither overflow nor vanish.
  var v = x.map { $0 / largest }
  let norm = v.withUnsafeBufferPointer { dot($0, $0) }.squareRoot()
  let first = v[0]
  let sign: Double = first < 0 ? -1 : 1
  v[0] = first + sign * norm
  // ‖v‖² = 2·norm·(norm + |first|)
  let length = (norm * (norm + abs(first))).squareRoot()
  for index in v.indices { v[index] /= length }
  return v
}

/// `x ← (I − v·vᵀ)·x`.
func reflect(_ x: UnsafeMutableBufferPointer<Double>, by v: [Double]) {
  v.withUnsafeBufferPointer { v in
    add(-dot(UnsafeBufferPointer(x), v), v, to: x)
  }
}
