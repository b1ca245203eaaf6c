/// A matrix that training reads and never changes: a projection, a frozen factor.
struct FrozenMatrix<Scalar: TrainingScalar>: Sendable {
  let rows: Int
  let columns: Int
  private let values: [Scalar]

  /// `values`, row-major. For `Float` nothing is copied, so that layers can share a projection.
  init(_ values: [Float], rows: Int, columns: Int) {
    precondition(values.count == rows * columns)
    self.rows = rows
    self.columns = columns
    self.values = (values as? [Scalar]) ?? values.map { Scalar($0) }
  }

  /// Calls `body` with the matrix, which it must not write to.
  func withMatrix<Result>(_ body: (MatrixView<Scalar>) -> Result) -> Result {
    values.withUnsafeBufferPointer {
      body(MatrixView(UnsafeMutableBufferPointer(mutating: $0), rows: rows, columns: columns))
    }
  }
}
