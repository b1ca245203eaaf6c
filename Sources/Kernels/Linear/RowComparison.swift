import CKernels

/// What two rows have in common: sums over the elements that are finite in both, and counts of those
/// that are not.
///
/// Differences and sums are f64, in an order that is the same on every path (an element goes to one of
/// 8 lanes by its index, the lanes are added pairwise): within (count/8 + 5)·2⁻⁵³ of the exact sums,
/// relatively. Rows are added up with `+=`.
public struct RowComparison: Sendable, Equatable {
  /// Σ a².
  public var aSquared: Double
  /// Σ b².
  public var bSquared: Double
  /// Σ (a − b)².
  public var differenceSquared: Double
  /// Σ |a − b|.
  public var differenceSum: Double
  /// The largest |a − b|.
  public var largest: Double
  /// Elements with different bits.
  public var differing: Int
  /// Elements that are infinite or NaN in one of the two, or in both.
  public var notFinite: Int
  /// Of those, the ones that are not the same in both; a NaN is the same as any other NaN.
  public var mismatched: Int

  public init(
    aSquared: Double = 0, bSquared: Double = 0, differenceSquared: Double = 0,
    differenceSum: Double = 0, largest: Double = 0, differing: Int = 0, notFinite: Int = 0,
    mismatched: Int = 0
  ) {
    self.aSquared = aSquared
    self.bSquared = bSquared
    self.differenceSquared = differenceSquared
    self.differenceSum = differenceSum
    self.largest = largest
    self.differing = differing
    self.notFinite = notFinite
    self.mismatched = mismatched
  }

  /// Compares `a` and `b`.
  public init(_ a: UnsafeBufferPointer<Float>, _ b: UnsafeBufferPointer<Float>) {
    precondition(a.count == b.count)
    var result = ck_comparison()
    if let first = a.baseAddress, let second = b.baseAddress {
      ck_compare(first, second, a.count, &result)
    }
    self.init(
      aSquared: result.a_squared, bSquared: result.b_squared,
      differenceSquared: result.difference_squared, differenceSum: result.difference_sum,
      largest: result.largest, differing: Int(result.differing),
      notFinite: Int(result.not_finite), mismatched: Int(result.mismatched))
  }

  public static func += (total: inout RowComparison, row: RowComparison) {
    total.aSquared += row.aSquared
    total.bSquared += row.bSquared
    total.differenceSquared += row.differenceSquared
    total.differenceSum += row.differenceSum
    total.largest = max(total.largest, row.largest)
    total.differing += row.differing
    total.notFinite += row.notFinite
    total.mismatched += row.mismatched
  }

  /// `1 − cos(a, b)`, 0 … 2, from `‖a − b‖² = (‖a‖ − ‖b‖)² + 2·‖a‖·‖b‖·(1 − cos)`, which keeps its
  /// precision where the two are nearly parallel; nil where one of them is zero.
  public var cosineDistance: Double? {
    let (a, b) = (aSquared.squareRoot(), bSquared.squareRoot())
    guard a > 0, b > 0 else { return nil }
    let lengths = (aSquared - bSquared) / (a + b)
    let distance = (differenceSquared - lengths * lengths) / (2 * a * b)
    return min(max(distance, 0), 2)
  }
}

extension ElementType {
  /// The largest distance of two stored elements, counted in representable numbers from one to the
  /// other (both zeros are one number), over the elements that are finite in both.
  ///
  /// - Precondition: `a` and `b` hold as many whole elements.
  public func largestDistance(_ a: UnsafeRawBufferPointer, _ b: UnsafeRawBufferPointer) -> Int {
    precondition(a.count == b.count && a.count % size == 0)
    guard let first = a.baseAddress, let second = b.baseAddress else { return 0 }
    return Int(ck_largest_distance(kernelElement, first, second, a.count / size))
  }
}
