import CKernels

/// What the factors of a product are rounded to. Sums are in f32.
public enum MatrixPrecision: String, Sendable, CaseIterable {
  case f32
  /// To nearest even; subnormals count as zeros.
  case bf16

  var kernelPrecision: ck_precision {
    self == .f32 ? CK_MULTIPLY_F32 : CK_MULTIPLY_BF16
  }
}

/// What a product is added to.
public enum ProductStart {
  case zero
  /// What is in the result.
  case result
  /// One number a column.
  case bias(UnsafePointer<Float>)
}

extension ThreadPool {
  /// `c = start + scale·a·b`.
  ///
  /// Every element is one chain `c = fma(scale·a[i,k], b[k,j], c)` over ascending k, on any processor and
  /// with any number of threads. In bf16 the factors are rounded, and of each pair of neighbours the
  /// second is added first, as VDPBF16PS does (CKernels/include/gemm.h).
  ///
  /// - Parameters:
  ///   - a: `rows × depth`; the rows or the columns must be contiguous.
  ///   - b: `depth × columns`, likewise.
  ///   - c: `rows × columns`, stored row by row, overlapping neither.
  public func multiply(
    _ a: MatrixView<Float>, _ b: MatrixView<Float>, scale: Float = 1, start: ProductStart = .zero,
    precision: MatrixPrecision = .f32, into c: MatrixView<Float>
  ) {
    precondition(a.columns == b.rows)
    multiply(
      a, b.operand, columns: b.columns, scale: scale, start: start, precision: precision, into: c)
  }

  /// `c = start + a·m`, or with `transposed` `c = start + a·mᵀ`, where m stays as it is stored.
  public func multiply(
    _ a: MatrixView<Float>, _ m: StoredMatrix, transposed: Bool, start: ProductStart = .zero,
    precision: MatrixPrecision = .f32, into c: MatrixView<Float>
  ) {
    precondition(a.columns == (transposed ? m.columns : m.rows))
    withExtendedLifetime(m) {
      multiply(
        a, m.operand(transposed: transposed), columns: transposed ? m.rows : m.columns, scale: 1,
        start: start, precision: precision, into: c)
    }
  }

  private func multiply(
    _ a: MatrixView<Float>, _ b: ck_operand, columns: Int, scale: Float, start: ProductStart,
    precision: MatrixPrecision, into c: MatrixView<Float>
  ) {
    precondition(c.rows == a.rows && c.columns == columns && c.columnStride == 1)
    var product = ck_product()
    (product.rows, product.columns, product.depth) = (c.rows, c.columns, a.columns)
    (product.a, product.b) = (a.operand, b)
    product.scale = scale
    switch start {
    case .zero: product.from = CK_FROM_ZERO
    case .result: product.from = CK_FROM_C
    case .bias(let bias):
      product.from = CK_FROM_BIAS
      product.bias = bias
    }
    product.precision = precision.kernelPrecision
    product.c = c.start
    product.c_stride = c.rowStride
    ck_multiply(workers, &product)
  }
}

extension MatrixView where Scalar == Float {
  fileprivate var operand: ck_operand {
    precondition(columnStride == 1 || rowStride == 1)
    var operand = ck_operand()
    operand.start = UnsafeRawPointer(start)
    operand.element = CK_F32
    operand.stride = columnStride == 1 ? rowStride : columnStride
    operand.transposed = columnStride == 1 ? 0 : 1
    return operand
  }
}

/// The products that adapters ask for, by a thread pool.
public struct PooledProducts: MatrixProducts {
  public let pool: ThreadPool
  public let precision: MatrixPrecision

  public init(_ pool: ThreadPool, precision: MatrixPrecision = .f32) {
    self.pool = pool
    self.precision = precision
  }

  public func multiply(
    _ a: MatrixView<Float>, _ b: MatrixView<Float>, scale: Float, accumulate: Bool,
    into c: MatrixView<Float>
  ) {
    pool.multiply(
      a, b, scale: scale, start: accumulate ? .result : .zero, precision: precision, into: c)
  }

  /// Numbers that are worth a job of their own.
  private static let least = 1 << 14
  /// Columns under which the rows of a part are too short for a pass of their own.
  private static let leastColumns = 512

  public func splitRows(_ rows: Int, columns: Int, _ body: (Range<Int>) -> Void) {
    pool.split(rows, least: max(1, Self.least / max(columns, 1)), body)
  }

  public func splitColumns(_ columns: Int, rows: Int, _ body: (Range<Int>) -> Void) {
    pool.split(columns, least: max(Self.leastColumns, Self.least / max(rows, 1)), body)
  }
}
