import Kernels
import Safetensors

/// The largest singular values of what changed in one matrix.
public struct ChangeSpectrum: Sendable, Equatable {
  /// A tensor of models, a module of adapters.
  public let name: String
  /// Of B − A; of adapters the change of A.
  public let values: [Double]
  /// Of adapters the change of B.
  public let valuesB: [Double]?
  /// Found by random projections: each is at most the true one, the last ones by a few per cent.
  public let isEstimate: Bool

  /// Values that are listed.
  static let count = 16
  /// Directions beyond those, and rounds of iteration: what makes the estimate good.
  private static let oversampling = 8
  private static let iterations = 2
  private static let seed: UInt32 = 20_240_214

  /// The spectrum of B − A of a pair, `nil` for what is no matrix.
  ///
  /// Matrices with a side of at most 64 are decomposed whole. Others by randomized subspace iteration
  /// (Halko, Martinsson and Tropp 2011, algorithms 4.4 and 5.1) with fixed signs ±1: rows are read anew in
  /// each of its passes, and nothing larger than 24 rows and columns is held.
  init?(_ pair: TensorPair) throws {
    let workspace = Workspace()
    guard let rows = DifferenceRows(pair, workspace) else { return nil }
    try pair.a.source.open(workspace)
    try pair.b.source.open(workspace)
    defer {
      // The sources have told their checksums before; nothing depends on this one.
      try? pair.a.source.close(checksum: 0)
      try? pair.b.source.close(checksum: 0)
    }
    let smaller = min(rows.rows, rows.columns)
    name = pair.a.name
    valuesB = nil
    isEstimate = smaller > 64
    if isEstimate {
      values = try Self.estimate(rows)
    } else {
      let matrix = DenseMatrix(rows: rows.rows, columns: rows.columns, try rows.readAll())
      values = Array(SingularValues(matrix).values.prefix(Self.count))
    }
  }

  /// The spectra of a module of two adapters.
  init?(_ module: AdapterComparison.Module) {
    guard module.a != nil || module.b != nil else { return nil }
    name = module.module
    values = Array(module.a?.singularValues.prefix(Self.count) ?? [])
    valuesB = Array(module.b?.singularValues.prefix(Self.count) ?? [])
    isEstimate = false
  }

  private static func estimate(_ matrix: DifferenceRows) throws -> [Double] {
    let directions = min(count + oversampling, matrix.rows, matrix.columns)
    var generator = MersenneTwister(seed: seed)
    var bits: UInt32 = 0
    // Rows of `basis` span the space that is searched for right singular vectors.
    var basis = [Float](repeating: 0, count: directions * matrix.columns)
    for index in basis.indices {
      if index % 32 == 0 { bits = generator.next32() }
      basis[index] = bits & 1 == 0 ? -1 : 1
      bits >>= 1
    }
    var values: [Double] = []
    for _ in 0...iterations {
      let left = orthonormalRows(try matrix.images(of: basis, count: directions), directions)
      basis = try matrix.combinations(by: left, count: directions)
      values = SingularValues(DenseMatrix(rows: directions, columns: matrix.columns, basis)).values
      basis = orthonormalRows(basis, directions)
    }
    return Array(values.prefix(count))
  }

  /// Orthonormal rows that span those of `matrix`.
  private static func orthonormalRows(_ matrix: [Float], _ rows: Int) -> [Float] {
    let columns = matrix.count / rows
    let turned = DenseMatrix(rows: rows, columns: columns, matrix).transposed
    return QRDecomposition(turned).q.transposed.floats
  }
}
