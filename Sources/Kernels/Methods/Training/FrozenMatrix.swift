/// A matrix that training reads and never changes: a projection, a frozen factor.
struct FrozenMatrix<Scalar: TrainingScalar>: Sendable {
  let rows: Int
  let columns: Int
  private let values: [Scalar]

  /// `values`, row-major.
  init(_ values: [Scalar], rows: Int, columns: Int) {
    precondition(values.count == rows * columns)
    (self.rows, self.columns, self.values) = (rows, columns, values)
  }

  /// `values`, row-major. For `Float` nothing is copied, so that layers can share a projection.
  init(widening values: [Float], rows: Int, columns: Int) {
    // Cast as an array, element by element would be copied.
    let same = values as Any as? [Scalar]
    self.init(same ?? values.map { Scalar($0) }, rows: rows, columns: columns)
  }

  /// Calls `body` with the matrix, which it must not write to.
  func withMatrix<Result>(_ body: (MatrixView<Scalar>) -> Result) -> Result {
    values.withUnsafeBufferPointer {
      body(MatrixView(UnsafeMutableBufferPointer(mutating: $0), rows: rows, columns: columns))
    }
  }
}
