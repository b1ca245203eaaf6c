import CKernels

/// What storing one row of W' observed: how much was asked for, and how much of it survived rounding.
///
/// The sums are over the elements whose w0 is finite. Within a row they are f32 sums of 512 columns in
/// a fixed order, added up in f64 (spec/numerics.md, section 4): the same bits on every path, for any
/// banding of the rows. Each is within 1.3e-6 of the sum of the absolute values of its terms.
public struct RowStatistics: Sendable, Equatable {
  /// Σ d², d the wanted change of an element.
  public var deltaSquared: Double
  /// Σ (stored − w0)·d.
  public var keptDotDelta: Double
  /// Σ w0².
  public var weightSquared: Double
  /// Elements whose stored bits changed.
  public var changed: Int
  /// Elements with a finite w0 whose stored w' is infinite or NaN.
  public var overflowed: Int

  public init(
    deltaSquared: Double = 0, keptDotDelta: Double = 0, weightSquared: Double = 0,
    changed: Int = 0, overflowed: Int = 0
  ) {
    self.deltaSquared = deltaSquared
    self.keptDotDelta = keptDotDelta
    self.weightSquared = weightSquared
    self.changed = changed
    self.overflowed = overflowed
  }

  init(_ row: ck_row_statistics) {
    self.init(
      deltaSquared: row.delta_squared, keptDotDelta: row.kept_dot_delta,
      weightSquared: row.weight_squared, changed: Int(row.changed),
      overflowed: Int(row.overflowed))
  }

  /// The part of the wanted change that the stored matrix shows, ⟨stored − W0, ΔW⟩ / ‖ΔW‖²: 1 when
  /// nothing was lost to rounding, 0 when the merge left no trace. nil when no change was wanted.
  public var retention: Double? {
    deltaSquared > 0 ? keptDotDelta / deltaSquared : nil
  }

  public static func += (total: inout RowStatistics, row: RowStatistics) {
    total.deltaSquared += row.deltaSquared
    total.keptDotDelta += row.keptDotDelta
    total.weightSquared += row.weightSquared
    total.changed += row.changed
    total.overflowed += row.overflowed
  }

  /// The statistics of a matrix from those of its rows, added in the order of the rows.
  public static func sum(_ rows: some Sequence<RowStatistics>) -> RowStatistics {
    rows.reduce(into: RowStatistics()) { $0 += $1 }
  }
}
