/// Matrix products for training, and the threads they run on. The trainer supplies a fast one for `Float`.
public protocol MatrixProducts<Scalar>: Sendable {
  associatedtype Scalar: TrainingScalar

  /// `c = scale · a·b`, or `c += scale · a·b`. Operands may be transposed views; `c` is stored row by
  /// row and overlaps neither.
  func multiply(
    _ a: MatrixView<Scalar>, _ b: MatrixView<Scalar>, scale: Scalar, accumulate: Bool,
    into c: MatrixView<Scalar>)

  /// Calls `body` with ranges that make up the rows of a matrix, perhaps on several threads.
  func splitRows(_ rows: Int, columns: Int, _ body: (Range<Int>) -> Void)
  /// Calls `body` with ranges that make up the columns of a matrix, perhaps on several threads.
  func splitColumns(_ columns: Int, rows: Int, _ body: (Range<Int>) -> Void)
}

extension MatrixProducts {
  public func splitRows(_ rows: Int, columns: Int, _ body: (Range<Int>) -> Void) {
    if rows > 0 { body(0..<rows) }
  }

  public func splitColumns(_ columns: Int, rows: Int, _ body: (Range<Int>) -> Void) {
    if columns > 0 { body(0..<columns) }
  }

  /// `c = scale · a·b`.
  public func multiply(
    _ a: MatrixView<Scalar>, _ b: MatrixView<Scalar>, scale: Scalar = 1,
    into c: MatrixView<Scalar>
  ) {
    multiply(a, b, scale: scale, accumulate: false, into: c)
  }

  /// `c += scale · a·b`.
  public func add(
    _ a: MatrixView<Scalar>, _ b: MatrixView<Scalar>, scale: Scalar = 1,
    to c: MatrixView<Scalar>
  ) {
    multiply(a, b, scale: scale, accumulate: true, into: c)
  }
}

/// The products by plain loops: the twin that faster ones are tested against, and what gradients are
/// checked with.
public struct PlainProducts<Scalar: TrainingScalar>: MatrixProducts {
  public init() {}

  public func multiply(
    _ a: MatrixView<Scalar>, _ b: MatrixView<Scalar>, scale: Scalar, accumulate: Bool,
    into c: MatrixView<Scalar>
  ) {
    precondition(a.columns == b.rows && c.rows == a.rows && c.columns == b.columns)
    for row in 0..<c.rows {
      let target = c[row]
      if !accumulate { Scalar.fill(target, with: 0) }
      for inner in 0..<a.columns {
        let factor = scale * a[row, inner]
        if b.columnStride == 1 {
          Scalar.add(b[inner], times: factor, to: target)
        } else {
          for column in 0..<c.columns { target[column] += factor * b[inner, column] }
        }
      }
    }
  }
}
