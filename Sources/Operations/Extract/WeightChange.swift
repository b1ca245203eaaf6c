import Kernels

/// ΔW of one matrix, `out × in`, and what the rounding of the tuned weights may have added to it.
struct WeightChange: Sendable {
  let rows: Int
  let columns: Int
  /// Row-major.
  let values: [Float]
  /// Σ (ulp/2)² over the tuned elements: the energy of rounding at its largest.
  let noise: Double
  /// ‖ΔW‖².
  let energy: Double

  /// Rounding alone explains what a form leaves, and the form explains most.
  static let explained = 0.75
  /// What the SVD of a large matrix may leave of ‖ΔW‖² where there is nothing left.
  static let accuracy = 1e-6

  /// - Parameters:
  ///   - base: W0 as stored, `out × in`, or `in × out` where the layer stores it so.
  ///   - tuned: W' in the same order, stored as `element`.
  init(base: [Float], tuned: [Float], layer: LayerGeometry, element: ElementType) {
    rows = layer.outFeatures
    columns = layer.inFeatures
    var noise = 0.0
    let mantissa =
      switch element {
      case .f32: 23
      case .f16: 10
      case .bf16: 7
      }
    for value in tuned where value != 0 && value.isFinite {
      let half = Double(sign: .plus, exponent: Int(value.exponent) - mantissa - 1, significand: 1)
      noise += half * half
    }
    var change = zip(tuned, base).map { $0 - $1 }
    if layer.storedTransposed { change = transpose(change, rows: columns, columns: rows) }
    values = change
    self.noise = noise
    energy = change.withUnsafeBufferPointer { VectorArithmetic.sumOfSquares($0) }
  }

  /// The mean of every row: b of the nearest change that is constant along rows, and what it leaves of
  /// ‖ΔW‖².
  var rowMeans: (values: [Float], residual: Double) {
    var residual = 0.0
    let means = (0..<rows).map { row in
      let own = values[row * columns..<(row + 1) * columns]
      let mean = own.reduce(0.0) { $0 + Double($1) } / Double(max(1, columns))
      for value in own { residual += (Double(value) - mean) * (Double(value) - mean) }
      return Float(mean)
    }
    return (means, residual)
  }

  /// Whether every row moved by a constant, up to rounding.
  var isRowConstant: Bool {
    let residual = rowMeans.residual
    return residual <= noise && residual <= (1 - Self.explained) * energy
  }

  /// Σ x² of every column, and of every row.
  var columnEnergies: [Double] {
    var sums = [Double](repeating: 0, count: columns)
    for row in 0..<rows {
      for column in 0..<columns {
        let value = Double(values[row * columns + column])
        sums[column] += value * value
      }
    }
    return sums
  }

  var rowEnergies: [Double] {
    (0..<rows).map { row in
      values[row * columns..<(row + 1) * columns].reduce(0) { $0 + Double($1) * Double($1) }
    }
  }

  /// Whether at most half of the columns, or of the rows, changed.
  var isColumnSparse: Bool { 2 * columnEnergies.count(where: { $0 > 0 }) <= columns }
  var isRowSparse: Bool { 2 * rowEnergies.count(where: { $0 > 0 }) <= rows }

  /// Whether a form that leaves `residual` of ‖ΔW‖² explains the change up to rounding.
  func isExplained(leaving residual: Double) -> Bool {
    residual <= max(noise, Self.accuracy * energy) && residual <= (1 - Self.explained) * energy
  }

  /// The smallest LoRA of the wanted size.
  func factors(_ size: ExtractRequest.Size, threads: Int) throws -> TruncatedSVD {
    switch size {
    case .rank(let rank):
      return try svd(rank: rank, threads: threads)
    case .energy(let part):
      let most = min(rows, columns)
      var rank = min(16, most)
      while true {
        let found = try svd(rank: rank, threads: threads)
        var kept = 0.0
        for (index, value) in found.values.enumerated() {
          kept += value * value
          if kept >= part * energy { return found.prefix(index + 1) }
        }
        if rank == most { return found }
        rank = min(2 * rank, most)
      }
    }
  }

  private func svd(rank: Int, threads: Int) throws -> TruncatedSVD {
    try TruncatedSVD(rows: rows, columns: columns, values, rank: rank, threads: threads)
  }
}
