import CKernels

/// Rows of f32 in memory that somebody else owns.
public struct StridedMatrix {
  public let values: UnsafePointer<Float>
  public let rows: Int
  public let columns: Int
  /// Elements from one row to the next.
  public let stride: Int

  public init(values: UnsafePointer<Float>, rows: Int, columns: Int, stride: Int) {
    (self.values, self.rows, self.columns, self.stride) = (values, rows, columns, stride)
  }
}

/// Rows of f32 to be written, in memory that somebody else owns.
public struct MutableMatrixView {
  public let values: UnsafeMutablePointer<Float>
  public let rows: Int
  public let columns: Int
  /// Elements from one row to the next.
  public let stride: Int

  public init(values: UnsafeMutablePointer<Float>, rows: Int, columns: Int, stride: Int) {
    (self.values, self.rows, self.columns, self.stride) = (values, rows, columns, stride)
  }
}

/// The matrix product that `QuantizedMatrix` makes of decoded tiles.
public protocol TileProduct: Sendable {
  /// `out[t, r] += Σ_c x[t, c] · tile[r, c]`.
  func addTransposed(_ x: StridedMatrix, _ tile: StridedMatrix, to out: MutableMatrixView)

  /// `out[t, c] += Σ_r g[t, r] · tile[r, c]`.
  func add(_ g: StridedMatrix, _ tile: StridedMatrix, to out: MutableMatrixView)
}

/// Fused multiply-adds in f32 in ascending order of the inner index, each onto what is there: the result
/// does not depend on tiles, threads or processor.
public struct SequentialTileProduct: TileProduct {
  public init() {}

  public func addTransposed(_ x: StridedMatrix, _ tile: StridedMatrix, to out: MutableMatrixView) {
    withUnsafeTemporaryAllocation(of: Float.self, capacity: tile.rows * tile.columns) { panel in
      guard let panel = panel.baseAddress else { return }
      ck_transpose(tile.values, tile.stride, tile.rows, tile.columns, panel, tile.rows)
      let transposed = StridedMatrix(
        values: panel, rows: tile.columns, columns: tile.rows, stride: tile.rows)
      add(x, transposed, to: out)
    }
  }

  public func add(_ g: StridedMatrix, _ tile: StridedMatrix, to out: MutableMatrixView) {
    precondition(g.columns == tile.rows && out.columns == tile.columns && out.rows == g.rows)
    ck_panel_product(
      g.values, g.stride, g.rows, tile.values, tile.stride, tile.rows, tile.columns, out.values,
      out.stride)
  }
}
