import Adapters
import Kernels
import Safetensors

/// How a tensor differs between A and B.
public struct TensorDifference: Sendable, Equatable {
  public struct Stored: Sendable, Equatable {
    /// Of the elements that were compared.
    public let dtype: DType
    public let shape: [Int]
    /// `nf4`, `fp4` or `int8` where those elements were decoded; otherwise nil.
    public let encoding: String?
  }

  public let tensor: String
  public let a: Stored
  public let b: Stored
  /// nil where there are none to compare: other shapes, or elements that are no numbers.
  public let numbers: TensorNumbers?
}

/// What the elements of two tensors say. Sums are over the elements that are finite in both.
public struct TensorNumbers: Sendable, Equatable {
  public let elements: Int
  /// Elements with different bits; of tensors of different types, once both are f32.
  public let differing: Int
  /// Elements that are infinite or NaN in one of the two, or in both.
  public let notFinite: Int
  /// Of those, the ones that are not the same in both; a NaN is the same as any other NaN.
  public let mismatched: Int
  /// Largest and mean |a − b|.
  public let maximum: Double
  public let mean: Double
  /// ‖A‖, ‖B‖ and ‖A − B‖, Frobenius.
  public let normA: Double
  public let normB: Double
  public let differenceNorm: Double
  /// ⟨A, B⟩ / (‖A‖·‖B‖); nil where one of them is zero.
  public let cosine: Double?
  /// The largest distance of two elements, counted in representable numbers of `distanceType`.
  public let distance: Int
  /// The stored type; f32 where the stored types differ.
  public let distanceType: DType
  /// ΔM: the mean over output features of |‖row of B‖ − ‖row of A‖|; nil for what is no matrix.
  public let magnitudeChange: Double?
  /// ΔD: the mean over output features of 1 − cos(row of A, row of B). Two rows of zeros have the same
  /// direction; a row of zeros and another one count as orthogonal.
  public let directionChange: Double?

  /// ‖A − B‖ / ‖A‖; nil where A is zero and B is not.
  public var relativeNorm: Double? {
    if differenceNorm == 0 { return 0 }
    return normA > 0 ? differenceNorm / normA : nil
  }

  init?(_ pair: TensorPair, _ sums: PairSums) {
    guard pair.formats != nil else { return nil }
    let comparison = sums.comparison
    let finite = pair.count - comparison.notFinite
    let features = Double(pair.featureCount)
    elements = pair.count
    differing = comparison.differing
    notFinite = comparison.notFinite
    mismatched = comparison.mismatched
    maximum = comparison.largest
    mean = finite > 0 ? comparison.differenceSum / Double(finite) : 0
    normA = comparison.aSquared.squareRoot()
    normB = comparison.bSquared.squareRoot()
    differenceNorm = comparison.differenceSquared.squareRoot()
    cosine = comparison.cosineDistance.map { 1 - $0 }
    distance = sums.distance
    distanceType = pair.a.dtype == pair.b.dtype ? pair.a.dtype : .f32
    magnitudeChange = features > 0 ? sums.magnitude / features : nil
    directionChange = features > 0 ? sums.direction / features : nil
  }
}

/// What differences are listed in the order of.
public enum DiffOrder: String, Sendable, CaseIterable {
  /// By name, in natural order.
  case name
  /// Largest first: ‖A − B‖ / ‖A‖, the largest and the mean |a − b|, the distance in representable
  /// numbers, 1 − cosine, ΔM, ΔD.
  case norm, max, mean, ulp, cosine, magnitude, direction

  /// `differences` in this order; those without numbers first, equal ones by name.
  public func sorted(_ differences: [TensorDifference]) -> [TensorDifference] {
    let named = differences.sorted { NaturalOrder.precedes($0.tensor, $1.tensor) }
    guard self != .name else { return named }
    return named.enumerated().sorted {
      let (x, y) = (key($0.element), key($1.element))
      return x == y ? $0.offset < $1.offset : x > y
    }.map(\.element)
  }

  private func key(_ difference: TensorDifference) -> Double {
    guard let numbers = difference.numbers else { return .infinity }
    switch self {
    case .name: return 0
    case .norm: return numbers.relativeNorm ?? .infinity
    case .max: return numbers.maximum
    case .mean: return numbers.mean
    case .ulp: return Double(numbers.distance)
    case .cosine: return numbers.cosine.map { 1 - $0 } ?? .infinity
    case .magnitude: return numbers.magnitudeChange ?? -1
    case .direction: return numbers.directionChange ?? -1
    }
  }
}
