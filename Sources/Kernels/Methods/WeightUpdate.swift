/// What one adapter does to one weight matrix, ready to be carried out band by band.
///
/// The matrix is the stored tensor seen in two dimensions: `shape[0]` rows, the rest as columns
/// (linear `out × in`, convolution `out × in·k`, embedding `tokens × dim`). `form` says which of the
/// requirements below are called; the others need not be written.
///
/// Implementations are values without mutable state: several threads call them at once.
public protocol WeightUpdate: Sendable {
  var rows: Int { get }
  var columns: Int { get }
  var form: UpdateForm { get }

  /// Forms `.additive`, `.scaled`: `delta += scale · D` on the band's rows, where D is this update's
  /// change. The result does not depend on how rows are grouped into bands.
  func addDelta(to delta: RowBand, scale: Float)

  /// Form `.scaled`: the factors Q of `W' = Q ∘ (W + D)` for the band's rows.
  ///
  /// - Parameters:
  ///   - base: the untouched W0 on the same rows.
  ///   - delta: D on the same rows.
  ///   - factors: receives Q: one per row for `.perRow`, one per column for `.perColumn`, a full
  ///     band for `.perElement`.
  func fillFactors(base: RowBand, delta: RowBand, factors: UnsafeMutableBufferPointer<Float>)

  /// Form `.general`: turns the rows of W into the rows of W', in place.
  ///
  /// - Parameters:
  ///   - band: holds the current W (other adapters may have changed it), receives W', unrounded.
  ///   - base: the untouched W0 on the same rows.
  func transform(_ band: RowBand, base: RowBand)

  /// Rows that must come in one band, aligned to multiples of this; `Int.max` for the whole matrix.
  var rowGranularity: Int { get }

  /// The update after it has read what it needs to know of the whole base (norms of columns,
  /// singular vectors). Called once, before any band.
  func prepared(reading base: any RowSource) throws -> any WeightUpdate

  /// What of the change depends on W0: it decides how a merge can be undone.
  var dependence: BaseDependence { get }

  /// D as `B·A` where it has that form: merged by the fused kernel, exported as plain LoRA.
  var lowRank: LowRankFactors? { get }

  /// The same update on the transposed matrix, for weights stored `in × out`; nil where that has no
  /// direct form (the whole matrix is then transposed in memory).
  func transposed() -> (any WeightUpdate)?

  /// The update that leads from W' back to W, up to rounding; nil where there is none, or where it
  /// cannot be known without the base.
  func inverse() -> (any WeightUpdate)?
}

/// How W' depends on W.
public enum UpdateForm: Sendable, Equatable {
  /// `W' = W + D`, D independent of W.
  case additive
  /// `W' = Q ∘ (W + D)`. Q may depend on the untouched base.
  case scaled(FactorAxis)
  /// Rows of W' from rows of W.
  case general
}

/// What the factors of a `.scaled` update are constant along.
public enum FactorAxis: Sendable, Equatable {
  case perRow
  case perColumn
  case perElement
}

/// What of a change only the base tells.
public enum BaseDependence: Sendable, Equatable {
  /// Nothing: D and Q follow from the adapter.
  case none
  /// Form `.scaled`: Q. `addDelta` may be called without `prepared`.
  case factors
  /// Anything else.
  case change
}

/// `D = scale · B·A`, computed as: accumulate `B[i,k]·A[k,j]` by fused multiply-add in ascending k in
/// f32, then multiply by `scale` (spec/numerics.md).
public struct LowRankFactors: Sendable {
  public let rank: Int
  public let rows: Int
  public let columns: Int
  /// B, `rows × rank`, row-major.
  public let b: [Float]
  /// A, `rank × columns`, row-major.
  public let a: [Float]
  public let scale: Float

  public init(rank: Int, rows: Int, columns: Int, b: [Float], a: [Float], scale: Float) {
    precondition(b.count == rows * rank && a.count == rank * columns)
    (self.rank, self.rows, self.columns) = (rank, rows, columns)
    (self.b, self.a, self.scale) = (b, a, scale)
  }

  /// The factors of the transposed change, `Aᵀ·Bᵀ`.
  public func transposed() -> LowRankFactors {
    LowRankFactors(
      rank: rank, rows: columns, columns: rows, b: transpose(a, rows: rank, columns: columns),
      a: transpose(b, rows: rows, columns: rank), scale: scale)
  }
}

/// Reads rows of a base weight in f32.
public protocol RowSource {
  var rows: Int { get }
  var columns: Int { get }
  /// Fills `band` with its rows of the untouched W0.
  func read(into band: RowBand) throws
}

extension RowSource {
  /// The whole matrix, row-major. For methods whose structure forces it.
  public func readAll() throws -> [Float] {
    var values = [Float](repeating: 0, count: rows * columns)
    try values.withUnsafeMutableBufferPointer {
      try read(into: RowBand(rows: 0..<rows, columns: columns, values: $0))
    }
    return values
  }
}

extension WeightUpdate {
  public func addDelta(to delta: RowBand, scale: Float) {
    preconditionFailure("\(Self.self) has form \(form) and no addDelta")
  }

  public func fillFactors(
    base: RowBand, delta: RowBand, factors: UnsafeMutableBufferPointer<Float>
  ) {
    preconditionFailure("\(Self.self) has form \(form) and no fillFactors")
  }

  public func transform(_ band: RowBand, base: RowBand) {
    preconditionFailure("\(Self.self) has form \(form) and no transform")
  }

  public var rowGranularity: Int { 1 }
  public var dependence: BaseDependence { form == .additive ? .none : .change }
  public func prepared(reading base: any RowSource) throws -> any WeightUpdate { self }
  public var lowRank: LowRankFactors? { nil }
  public func transposed() -> (any WeightUpdate)? { nil }

  public func inverse() -> (any WeightUpdate)? {
    form == .additive ? OppositeUpdate(of: self) : nil
  }
}

/// What one adapter does to one bias vector.
public protocol BiasUpdate: Sendable {
  /// Turns the bias into the merged bias, in place. `weight` reads the layer's untouched W0.
  func apply(to bias: inout [Float], weight: any RowSource) throws

  /// The update that leads from bias' back to the bias, up to rounding; nil where there is none, or
  /// where it cannot be known without the base.
  func inverse() -> (any BiasUpdate)?

  /// Takes `weight` times the change back, up to rounding.
  ///
  /// - Returns: false, with the bias in any state, where the changed bias does not tell what it was.
  func reverse(on bias: inout [Float], weight: Float) -> Bool
}

extension BiasUpdate {
  public func inverse() -> (any BiasUpdate)? { nil }
  public func reverse(on bias: inout [Float], weight: Float) -> Bool { false }
}
