import Kernels

/// The changes of one tensor in the form that is cheapest to carry out with the same result
/// (spec/numerics.md).
struct MergePipeline: Sendable {
  enum Form: Sendable {
    /// Low-rank changes only: stored W0 to stored W' in registers.
    case fused([LowRankFactors])
    /// Additive changes only.
    case additive([(update: any WeightUpdate, weight: Float)])
    /// One scaled change.
    case scaled(any WeightUpdate, FactorAxis)
    /// Everything else, step by step in f32.
    case general([MergeStep])
  }

  let form: Form
  let shape: MergedTensor.Shape
  /// Rows that are computed together, aligned to multiples of this.
  let rowGranularity: Int
  /// Some change needs all rows at once.
  let needsWholeMatrix: Bool

  /// - Parameter keepsChange: D is wanted in memory, of a low-rank change as well. The result is the
  ///   same.
  init(_ steps: [MergeStep], shape: MergedTensor.Shape, keepsChange: Bool = false) {
    self.shape = shape
    var updates: [(update: any WeightUpdate, weight: Double)] = []
    var others = false
    for step in steps {
      switch step {
      case .none: continue
      case .update(let update, let weight): updates.append((update, weight))
      case .bias, .rows, .replacement: others = true
      }
    }
    let hasBias = steps.contains { if case .bias = $0 { true } else { false } }
    let granularity = updates.map(\.update.rowGranularity).max() ?? 1
    needsWholeMatrix = hasBias || granularity >= shape.rows
    rowGranularity = needsWholeMatrix ? max(1, shape.rows) : granularity

    let lowRank = updates.compactMap { update, weight in update.lowRank?.scaled(by: Float(weight)) }
    if !others, lowRank.count == updates.count {
      form =
        keepsChange ? .additive(lowRank.map { (LowRankUpdate($0), 1) }) : .fused(lowRank)
    } else if !others, updates.allSatisfy({ $0.update.form == .additive }) {
      form = .additive(updates.map { ($0.update, Float($0.weight)) })
    } else if !others, updates.count == 1, updates[0].weight == 1,
      case .scaled(let axis) = updates[0].update.form
    {
      form = .scaled(updates[0].update, axis)
    } else {
      form = .general(steps)
    }
  }

  /// Elements of a band that keep its f32 copies near the caches.
  var bandElements: Int {
    if case .fused = form { Int.max } else { 1 << 17 }
  }

  /// What is to be stored for `rows`, whose stored W0 is `stored`. The result points into `workspace`.
  func compute(
    rows: Range<Int>, stored: UnsafeRawBufferPointer, element: ElementType, workspace: Workspace
  ) throws -> ComputedBand {
    let count = rows.count * shape.columns
    func band(_ purpose: Workspace.Buffer) -> RowBand {
      RowBand(
        rows: rows, columns: shape.columns, values: workspace.floats(purpose, count: count))
    }
    var computed = ComputedBand(
      rows: rows, columns: shape.columns, element: element, stored: stored, content: .fused([]))
    switch form {
    case .fused(let factors):
      computed.content = .fused(factors)
    case .additive(let updates):
      computed.content = .additive(sum(updates, into: band(.delta)))
    case .scaled(let update, let axis):
      let base = band(.widened)
      element.widen(from: stored, to: base.values)
      let delta = sum([(update, 1)], into: band(.delta))
      let factors = workspace.floats(.factors, count: axis.count(base))
      update.fillFactors(base: base, delta: delta, factors: factors)
      computed.content = .scaled(delta, factors, axis)
    case .general(let steps):
      let base = band(.widened)
      element.widen(from: stored, to: base.values)
      let values = band(.band)
      _ = values.values.update(fromContentsOf: base.values)
      for step in steps {
        try carryOut(
          step, on: values, base: base, delta: band(.delta), workspace: workspace)
      }
      computed.content = .general(values)
    }
    return computed
  }

  /// D: the changes of `updates`, each times its weight.
  func sum(
    _ updates: [(update: any WeightUpdate, weight: Float)], into delta: RowBand
  ) -> RowBand {
    delta.values.update(repeating: 0)
    for (update, weight) in updates { update.addDelta(to: delta, scale: weight) }
    return delta
  }

  private func carryOut(
    _ step: MergeStep, on band: RowBand, base: RowBand, delta: RowBand, workspace: Workspace
  ) throws {
    switch step {
    case .none: return
    case .update(let update, let weight):
      carryOut(update, weight: Float(weight), on: band, base: base, delta: delta, workspace)
    case .rows(let ids, let values, let weight):
      for (position, id) in ids.enumerated() where band.rows.contains(id) {
        let new = values[position * band.columns..<(position + 1) * band.columns]
        let row = band[id]
        for (column, value) in zip(row.indices, new) {
          row[column] = Self.toward(value, from: row[column], weight: Float(weight))
        }
      }
    case .replacement(let rows, let weight):
      try rows.read(into: delta)
      for at in band.values.indices {
        band.values[at] = Self.toward(
          delta.values[at], from: band.values[at], weight: Float(weight))
      }
    case .bias(let update, let weight, let layerWeight):
      var bias = Array(band.values)
      try update.apply(to: &bias, weight: layerWeight)
      for (at, value) in bias.enumerated() {
        band.values[at] = Self.toward(value, from: band.values[at], weight: Float(weight))
      }
    }
  }

  private func carryOut(
    _ update: any WeightUpdate, weight: Float, on band: RowBand, base: RowBand, delta: RowBand,
    _ workspace: Workspace
  ) {
    let values = band.values
    switch update.form {
    case .additive:
      delta.values.update(repeating: 0)
      update.addDelta(to: delta, scale: weight)
      for at in values.indices { values[at] += delta.values[at] }
    case .scaled(let axis):
      delta.values.update(repeating: 0)
      update.addDelta(to: delta, scale: 1)
      let factors = workspace.floats(.factors, count: axis.count(band))
      update.fillFactors(base: base, delta: delta, factors: factors)
      for row in 0..<band.rows.count {
        for column in 0..<band.columns {
          let at = row * band.columns + column
          let factor = factors[axis.index(row: row, column: column, columns: band.columns)]
          let new = factor * (values[at] + delta.values[at])
          values[at] = Self.toward(new, from: values[at], weight: weight)
        }
      }
    case .general:
      if weight == 1 {
        update.transform(band, base: base)
      } else {
        _ = delta.values.update(fromContentsOf: values)
        update.transform(delta, base: base)
        for at in values.indices {
          values[at] = Self.toward(delta.values[at], from: values[at], weight: weight)
        }
      }
    }
  }

  /// `old + weight · (new − old)`; exactly `new` at weight 1.
  private static func toward(_ new: Float, from old: Float, weight: Float) -> Float {
    weight == 1 ? new : old.addingProduct(weight, new - old)
  }
}

extension FactorAxis {
  /// Factors of a band.
  func count(_ band: RowBand) -> Int {
    switch self {
    case .perRow: band.rows.count
    case .perColumn: band.columns
    case .perElement: band.rows.count * band.columns
    }
  }

  /// Where the factor of an element is.
  func index(row: Int, column: Int, columns: Int) -> Int {
    switch self {
    case .perRow: row
    case .perColumn: column
    case .perElement: row * columns + column
    }
  }
}
