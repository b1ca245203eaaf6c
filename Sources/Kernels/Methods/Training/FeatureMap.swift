/// Which features of a layer share which positions of a shorter vector: how MoRA compresses inputs
/// and spreads outputs.
struct FeatureMap: Sendable {
  let features: Int
  let positions: Int
  private let pairs: Pairs

  private enum Pairs: Sendable {
    /// Runs of features that lie on runs of positions.
    case runs([Run])
    /// The features on each position.
    case groups([Range<Int>])
  }

  private struct Run: Sendable {
    var features: Range<Int>
    var positions: Range<Int>
  }

  /// The pairs `(t mod features, t mod positions)` for t below `count`.
  init(cyclic count: Int, features: Int, positions: Int) {
    (self.features, self.positions) = (features, positions)
    var runs: [Run] = []
    var start = 0
    while start < count {
      let (feature, position) = (start % features, start % positions)
      let length = min(count - start, features - feature, positions - position)
      runs.append(
        Run(features: feature..<feature + length, positions: position..<position + length))
      start += length
    }
    pairs = .runs(runs)
  }

  /// Neighbouring features together, the first `features mod positions` groups one larger.
  init(groupsOf features: Int, positions: Int) {
    (self.features, self.positions) = (features, positions)
    let (size, larger) = features.quotientAndRemainder(dividingBy: positions)
    var start = 0
    pairs = .groups(
      (0..<positions).map { group in
        let end = start + size + (group < larger ? 1 : 0)
        defer { start = end }
        return start..<end
      })
  }

  /// Every position receives the sum of its features.
  func collect<Scalar: TrainingScalar>(_ values: Row<Scalar>, into sums: Row<Scalar>) {
    Scalar.fill(sums, with: 0)
    switch pairs {
    case .runs(let runs):
      for run in runs {
        Scalar.add(
          Row(rebasing: values[run.features]), times: 1, to: Row(rebasing: sums[run.positions]))
      }
    case .groups(let groups):
      for (position, features) in groups.enumerated() {
        sums[position] = Scalar.sum(Row(rebasing: values[features]))
      }
    }
  }

  /// The transpose of `collect`: every position's value is added to all its features.
  func spread<Scalar: TrainingScalar>(_ values: Row<Scalar>, addingTo result: Row<Scalar>) {
    switch pairs {
    case .runs(let runs):
      for run in runs {
        Scalar.add(
          Row(rebasing: values[run.positions]), times: 1, to: Row(rebasing: result[run.features]))
      }
    case .groups(let groups):
      for (position, features) in groups.enumerated() {
        Scalar.add(values[position], to: Row(rebasing: result[features]))
      }
    }
  }

  /// The position of every feature, the last one where there are several; nil where there is none.
  var positionOfFeature: [Int?] {
    var result = [Int?](repeating: nil, count: features)
    switch pairs {
    case .runs(let runs):
      for run in runs {
        for (feature, position) in zip(run.features, run.positions) { result[feature] = position }
      }
    case .groups(let groups):
      for (position, features) in groups.enumerated() {
        for feature in features { result[feature] = position }
      }
    }
    return result
  }
}
