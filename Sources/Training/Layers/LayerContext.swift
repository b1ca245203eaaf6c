import CKernels
import Kernels

/// Values of a batch, a row for each token.
public typealias Matrix = MatrixView<Float>

/// What the layers of a model work with: threads, precision, memory, and the batch at hand.
///
/// Memory comes from `workspace`: what a layer keeps for its backward pass stays there until the scope of
/// the step ends, so that a step allocates nothing once the largest batch has been seen.
public final class LayerContext {
  public let pool: ThreadPool
  public let precision: MatrixPrecision
  public let workspace: Workspace<Float>
  public let products: PooledProducts
  /// How the rows of the batch form sequences.
  public var layout = TokenLayout(lengths: [])
  /// Dropout on the adapters' branches; nil outside of training.
  public var dropout: Dropout?

  /// What every mask of a step derives from.
  public struct Dropout: Sendable {
    public var probability: Double
    /// Another one for each step.
    public var seed: UInt64

    public init(probability: Double, seed: UInt64) {
      (self.probability, self.seed) = (probability, seed)
    }
  }

  /// - Parameter memory: numbers that the workspace asks for at a time; what is not touched of them is not
  ///   in memory.
  public init(pool: ThreadPool, precision: MatrixPrecision = .f32, memory: Int = 1 << 26) {
    self.pool = pool
    self.precision = precision
    workspace = Workspace(chunkSize: memory)
    products = PooledProducts(pool, precision: precision)
  }

  /// A matrix with undefined elements, valid until the enclosing scope ends.
  func matrix(_ rows: Int, _ columns: Int) -> Matrix {
    workspace.matrix(rows: rows, columns: columns)
  }

  /// The mask of the layer `number` in this step.
  func mask(of number: Int) -> DropoutMask? {
    guard let dropout, dropout.probability > 0 else { return nil }
    let seed = dropout.seed &+ UInt64(number) &* 0x9e37_79b9_7f4a_7c15
    return DropoutMask(probability: dropout.probability, seed: seed)
  }

  /// Elements of a pass that are worth a job of their own.
  private static let least = 1 << 14

  /// Calls `body` with ranges of rows, `width` elements each, on all threads.
  func rows(_ count: Int, width: Int, _ body: (Range<Int>) -> Void) {
    pool.split(count, least: max(1, Self.least / max(width, 1)), body)
  }

  /// Calls `body` with ranges of elements, which begin at multiples of a vector, on all threads.
  func elements(_ count: Int, _ body: (Range<Int>) -> Void) {
    pool.split(count, least: Self.least, body)
  }

  /// `y = a + b`, stored row by row without gaps.
  func add(_ a: Matrix, _ b: Matrix, into y: Matrix) {
    elements(a.rows * a.columns) { range in
      let at = range.lowerBound
      ck_layer().pointee.add(range.count, a.start + at, b.start + at, y.start + at)
    }
  }

  /// Some rows of a matrix, in a matrix of their own; the matrix itself without `rows`.
  func pick(_ rows: [Int]?, of matrix: Matrix) -> Matrix {
    guard let rows else { return matrix }
    let picked = self.matrix(rows.count, matrix.columns)
    self.rows(rows.count, width: matrix.columns) { range in
      for row in range { _ = picked[row].update(fromContentsOf: matrix[rows[row]]) }
    }
    return picked
  }

  /// The other way: the rows go to their places in `matrix`, whose other rows become zero. Without
  /// `rows` they are in place.
  func spread(_ picked: Matrix, to rows: [Int]?, of matrix: Matrix) {
    guard let rows else { return }
    self.rows(matrix.rows, width: matrix.columns) { matrix.rows($0).fill(0) }
    for (row, place) in rows.enumerated() {
      _ = matrix[place].update(fromContentsOf: picked[row])
    }
  }

  /// `sums += Σ rows of g`, row after row.
  func addColumnSums(of g: Matrix, to sums: Row<Float>) {
    guard let start = sums.baseAddress else { return }
    pool.split(g.columns, least: max(16, Self.least / max(g.rows, 1) & ~15)) { columns in
      let at = columns.lowerBound
      ck_layer().pointee.column_sums(g.rows, columns.count, g.rowStride, g.start + at, start + at)
    }
  }
}
