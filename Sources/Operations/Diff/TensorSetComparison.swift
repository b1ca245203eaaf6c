import Adapters
import Kernels
import Safetensors

/// The tensors of two sides compared: names, then types, shapes and values.
public struct TensorSetComparison: Sendable {
  /// In natural order.
  public let onlyInA: [String]
  public let onlyInB: [String]
  /// In natural order of the names.
  public let changed: [TensorDifference]
  /// Tensors that are equal: in every byte, or within the tolerance.
  public let equal: Int
  /// Numbers of every tensor that was compared, the equal ones included, in natural order.
  public let numbers: [(tensor: String, numbers: TensorNumbers)]
  /// The pairs behind `changed`, for a closer look.
  let pairs: [String: TensorPair]

  init(
    _ a: ComparedModel, _ b: ComparedModel, request: DiffRequest, progress: ProgressReport?
  ) throws {
    func names(_ model: ComparedModel, missingIn other: ComparedModel) -> [String] {
      model.tensors.map(\.name).filter { request.wants($0) && other[$0] == nil }
        .sorted(by: NaturalOrder.precedes)
    }
    onlyInA = names(a, missingIn: b)
    onlyInB = names(b, missingIn: a)
    var changed: [TensorDifference] = []
    var pairs: [TensorPair] = []
    for tensor in a.tensors where request.wants(tensor.name) {
      guard let other = b[tensor.name] else { continue }
      if tensor.shape == other.shape, let pair = TensorPair(tensor, other) {
        pairs.append(pair)
      } else {
        changed.append(TensorDifference(tensor, other, numbers: nil))
      }
    }
    let sums = try ComparisonExecutor(pairs: pairs, threads: request.threads, progress: progress)
      .run()
    var equal = 0
    var numbers: [(tensor: String, numbers: TensorNumbers)] = []
    for (pair, sums) in zip(pairs, sums) {
      let found = TensorNumbers(pair, sums)
      if let found { numbers.append((pair.a.name, found)) }
      if sums.isEqual || found?.isWithin(request.tolerance) ?? false {
        equal += 1
      } else {
        changed.append(TensorDifference(pair.a, pair.b, numbers: found))
      }
    }
    self.changed = DiffOrder.name.sorted(changed)
    self.equal = equal
    self.numbers = numbers.sorted { NaturalOrder.precedes($0.tensor, $1.tensor) }
    self.pairs = Dictionary(
      pairs.map { ($0.a.name, $0) }, uniquingKeysWith: { first, _ in first })
  }

  public var isIdentical: Bool { onlyInA.isEmpty && onlyInB.isEmpty && changed.isEmpty }
  /// Tensors that were looked at.
  var count: Int { onlyInA.count + onlyInB.count + changed.count + equal }

  /// Pearson's correlation of ΔM and ΔD over the changed matrices; nil where there are fewer than two,
  /// or one of the two does not vary.
  public var magnitudeDirectionCorrelation: Double? {
    let points = changed.compactMap { difference -> (m: Double, d: Double)? in
      guard let numbers = difference.numbers, let magnitude = numbers.magnitudeChange,
        let direction = numbers.directionChange
      else { return nil }
      return (magnitude, direction)
    }
    guard points.count > 1 else { return nil }
    let meanM = points.reduce(0) { $0 + $1.m } / Double(points.count)
    let meanD = points.reduce(0) { $0 + $1.d } / Double(points.count)
    var (mm, dd, md) = (0.0, 0.0, 0.0)
    for point in points {
      let (m, d) = (point.m - meanM, point.d - meanD)
      (mm, dd, md) = (mm + m * m, dd + d * d, md + m * d)
    }
    guard mm > 0, dd > 0 else { return nil }
    return md / (mm * dd).squareRoot()
  }
}

extension TensorDifference {
  init(_ a: ComparedTensor, _ b: ComparedTensor, numbers: TensorNumbers?) {
    self.init(
      tensor: a.name, a: Stored(dtype: a.dtype, shape: a.shape, encoding: a.encoding),
      b: Stored(dtype: b.dtype, shape: b.shape, encoding: b.encoding), numbers: numbers)
  }
}

extension TensorNumbers {
  /// Whether the difference is within `tolerance`, a part of ‖A‖.
  func isWithin(_ tolerance: Double?) -> Bool {
    guard let tolerance, mismatched == 0, let relative = relativeNorm else { return false }
    return relative <= tolerance
  }
}
