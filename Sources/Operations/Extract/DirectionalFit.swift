import Kernels

/// The DoRA nearest to a tuned matrix: `W' ≈ diag(m/n)·(W0 + D)`, D of low rank and n the norms of the
/// rows of `W0 + D`.
///
/// How long the rows of `W0 + D` are is not in W', so lengths c and D are sought together, such that
/// `diag(c)·W' − W0` is nearest to D: c starts with the rows as long as those of W0, and then in turn D
/// is the leading singular triples, and c the least squares outside of their row space. A merged DoRA
/// comes back. m is what brings the rows of `W0 + D` nearest to those of W'.
///
/// Source: the decomposition is that of Liu et al. 2024 (2402.09353), equation 5.
struct DirectionalFit {
  /// m, one per row.
  let magnitude: [Float]
  /// D.
  let directional: TruncatedSVD
  /// ‖W' − diag(m/n)·(W0 + D)‖².
  let residual: Double

  private static let iterationLimit = 100
  /// The iteration ends when the residual shrinks by less than this part.
  private static let leastProgress = 0.001

  /// - Parameters:
  ///   - base: W0, `rows × columns`, row-major; `tuned` is W' in the same order.
  ///   - rank: the largest rank of D.
  init(base: [Float], tuned: [Float], rows: Int, rank: Int, threads: Int) throws {
    let columns = base.count / max(1, rows)
    func inner(_ x: [Float], _ y: [Float], _ row: Int) -> Double {
      var sum = 0.0
      for index in row * columns..<(row + 1) * columns {
        sum += Double(x[index]) * Double(y[index])
      }
      return sum
    }
    let tunedSquares = (0..<rows).map { inner(tuned, tuned, $0) }
    let products = (0..<rows).map { inner(tuned, base, $0) }
    var lengths = (0..<rows).map { row in
      tunedSquares[row] > 0 ? (inner(base, base, row) / tunedSquares[row]).squareRoot() : 1
    }
    var found = try Self.decomposed(base, tuned, lengths, columns: columns, rank, threads)
    // Steps are carried on in their direction (Nesterov), and start anew where that leads away.
    var (previous, carried) = (lengths, 0)
    for _ in 0..<Self.iterationLimit where found.residualSquared > 1e-14 * found.totalSquared {
      let (inTuned, inBase) = (
        Self.coordinates(of: tuned, found.right), Self.coordinates(of: base, found.right)
      )
      var next = lengths
      for row in 0..<rows {
        var (product, square) = (products[row], tunedSquares[row])
        for (x, y) in zip(inTuned.row(row), inBase.row(row)) {
          product -= x * y
          square -= x * x
        }
        if product > 0, square > 1e-9 * tunedSquares[row] { next[row] = product / square }
      }
      let momentum = Double(carried) / Double(carried + 3)
      let trial = zip(next, previous).map { max($0 + momentum * ($0 - $1), 0.5 * $0) }
      let better = try Self.decomposed(base, tuned, trial, columns: columns, rank, threads)
      guard better.residualSquared < found.residualSquared else {
        if carried == 0 { break }
        (previous, carried) = (next, 0)
        continue
      }
      let ended = better.residualSquared > (1 - Self.leastProgress) * found.residualSquared
      (found, lengths, previous, carried) = (better, trial, next, carried + 1)
      if ended { break }
    }
    directional = found

    // As a reader computes it, from factors in f32.
    let (left, right) = (found.scaledLeft.floats, found.right.floats)
    var (magnitude, residual) = ([Float](), 0.0)
    for row in 0..<rows {
      var direction = (0..<columns).map { Double(base[row * columns + $0]) }
      for k in 0..<found.values.count {
        let factor = Double(left[k * rows + row])
        for column in 0..<columns {
          direction[column] += factor * Double(right[k * columns + column])
        }
      }
      let norm = direction.reduce(0) { $0 + $1 * $1 }.squareRoot()
      let own = (0..<columns).map { Double(tuned[row * columns + $0]) }
      let along = zip(direction, own).reduce(0) { $0 + $1.0 * $1.1 }
      let m = norm > 0 ? Float(along / norm) : 0
      magnitude.append(m)
      let factor = norm > 0 ? Double(m) / norm : 0
      for (x, y) in zip(own, direction) { residual += (x - factor * y) * (x - factor * y) }
    }
    self.magnitude = magnitude
    self.residual = residual
  }

  /// The leading triples of `diag(lengths)·tuned − base`.
  private static func decomposed(
    _ base: [Float], _ tuned: [Float], _ lengths: [Double], columns: Int, _ rank: Int,
    _ threads: Int
  ) throws -> TruncatedSVD {
    let change = base.indices.map {
      Float(lengths[$0 / columns] * Double(tuned[$0]) - Double(base[$0]))
    }
    return try TruncatedSVD(
      rows: lengths.count, columns: columns, change, rank: rank, threads: threads)
  }

  /// `values · basisᵀ`: `rows × k` for a basis `k × columns`.
  private static func coordinates(of values: [Float], _ basis: DenseMatrix) -> DenseMatrix {
    DenseMatrix(rows: values.count / basis.columns, columns: basis.columns, values)
      .multiplied(by: basis.transposed)
  }

  /// The fit of the wanted size; of an energy the smallest rank that leaves at most the rest of `energy`.
  static func fitted(
    _ size: ExtractRequest.Size, base: [Float], tuned: [Float], rows: Int, energy: Double,
    threads: Int
  ) throws -> DirectionalFit {
    func fit(_ rank: Int) throws -> DirectionalFit {
      try DirectionalFit(base: base, tuned: tuned, rows: rows, rank: rank, threads: threads)
    }
    guard case .energy(let part) = size else {
      if case .rank(let rank) = size { return try fit(rank) }
      return try fit(1)
    }
    let most = min(rows, base.count / max(1, rows))
    var (rank, lower) = (1, 0)
    var best = try fit(rank)
    while best.residual > (1 - part) * energy, rank < most {
      lower = rank
      rank = min(2 * rank, most)
      best = try fit(rank)
    }
    while rank - lower > 1 {
      let middle = (lower + rank) / 2
      let candidate = try fit(middle)
      if candidate.residual > (1 - part) * energy {
        lower = middle
      } else {
        (rank, best) = (middle, candidate)
      }
    }
    return best
  }
}

extension TruncatedSVD {
  /// The left vectors times their values, `k × rows`: B of PEFT's form of an SVD, transposed.
  var scaledLeft: DenseMatrix {
    var result = left
    for k in values.indices {
      for row in 0..<result.columns { result[k, row] *= values[k] }
    }
    return result
  }
}
