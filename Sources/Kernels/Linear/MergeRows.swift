import CKernels

/// Turns rows of stored W0 into rows of stored W', with one rounding per element, and reports what
/// the rounding did to the change.
///
/// Everywhere: `stored` and `destination` hold just the rows in question, without gaps, of any
/// alignment, and may be the same memory; `statistics` receives one value per row. An element whose
/// change is zero keeps its bits, and so does a NaN. A NaN that arithmetic produces is stored
/// positive, quiet, without payload. The bytes do not depend on the processor, nor on how rows are
/// grouped into calls (spec/numerics.md, sections 2 to 4).
public enum MergeRows {
  /// `w' = round(w + D)`, D the sum of `terms` in their order: `D = fma(scale, B·A, D)` from +0.
  ///
  /// - Parameters:
  ///   - rows: rows of the matrix.
  ///   - columns: columns of the matrix, and of every term.
  public static func mergeLowRank(
    _ terms: [LowRankFactors], rows: Range<Int>, columns: Int,
    stored: UnsafeRawBufferPointer, element: ElementType,
    into destination: UnsafeMutableRawBufferPointer,
    statistics: UnsafeMutableBufferPointer<RowStatistics>
  ) {
    check(rows, columns, stored, element, destination, statistics)
    guard let from = stored.baseAddress, let to = destination.baseAddress else {
      return clear(statistics)
    }
    withTerms(terms, rows: rows, columns: columns) { terms, scratch in
      withRowStatistics(statistics) {
        ck_merge_low_rank(
          terms.baseAddress, terms.count, rows.count, columns, element.kernelElement, from, to, $0,
          scratch)
      }
    }
  }

  /// `w' = round(w + D)`; `delta` holds D.
  public static func storeAdditive(
    delta: RowBand, stored: UnsafeRawBufferPointer, element: ElementType,
    into destination: UnsafeMutableRawBufferPointer,
    statistics: UnsafeMutableBufferPointer<RowStatistics>
  ) {
    store(CK_ADDITIVE, delta, nil, nil, stored, element, destination, statistics)
  }

  /// `w' = round(Q·(w + D))`, the sum and the product each rounded to f32; `delta` holds D.
  ///
  /// - Parameter factors: Q: one per row of the band, one per column, or a full band, as `axis` says.
  public static func storeScaled(
    delta: RowBand, factors: UnsafeBufferPointer<Float>, axis: FactorAxis,
    stored: UnsafeRawBufferPointer, element: ElementType,
    into destination: UnsafeMutableRawBufferPointer,
    statistics: UnsafeMutableBufferPointer<RowStatistics>
  ) {
    store(CK_SCALED, delta, factors, axis, stored, element, destination, statistics)
  }

  /// `w' = round(W')`; `band` holds W' unrounded. Where W' equals w0 the bits stay.
  public static func storeGeneral(
    _ band: RowBand, stored: UnsafeRawBufferPointer, element: ElementType,
    into destination: UnsafeMutableRawBufferPointer,
    statistics: UnsafeMutableBufferPointer<RowStatistics>
  ) {
    store(CK_GENERAL, band, nil, nil, stored, element, destination, statistics)
  }

  /// `delta = fma(scale · term.scale, B·A, delta)` on the band's rows, for one term after the other.
  public static func addLowRank(_ terms: [LowRankFactors], scale: Float = 1, to delta: RowBand) {
    let scaled = terms.map { $0.scaled(by: scale) }
    withTerms(scaled, rows: delta.rows, columns: delta.columns) { terms, scratch in
      ck_low_rank_delta(
        terms.baseAddress, terms.count, delta.rows.count, delta.columns,
        delta.values.baseAddress, scratch)
    }
  }

  private static func store(
    _ form: ck_form, _ delta: RowBand, _ factors: UnsafeBufferPointer<Float>?, _ axis: FactorAxis?,
    _ stored: UnsafeRawBufferPointer, _ element: ElementType,
    _ destination: UnsafeMutableRawBufferPointer,
    _ statistics: UnsafeMutableBufferPointer<RowStatistics>
  ) {
    let (rows, columns) = (delta.rows.count, delta.columns)
    check(delta.rows, columns, stored, element, destination, statistics)
    guard let from = stored.baseAddress, let to = destination.baseAddress else {
      return clear(statistics)
    }
    var store = ck_store()
    store.form = form
    store.element = element.kernelElement
    (store.rows, store.columns) = (rows, columns)
    (store.stored, store.out) = (from, to)
    (store.stored_stride, store.out_stride) = (columns * element.size, columns * element.size)
    (store.delta, store.delta_stride) = (UnsafePointer(delta.values.baseAddress), columns)
    if let factors, let axis {
      precondition(factors.count >= delta.factorCount(along: axis))
      store.factors = factors.baseAddress
      store.factor_row_stride = axis == .perRow ? 1 : axis == .perColumn ? 0 : columns
      store.factor_column_stride = axis == .perRow ? 0 : 1
    }
    withRowStatistics(statistics) {
      store.statistics = $0
      ck_store_rows(&store)
    }
  }

  private static func check(
    _ rows: Range<Int>, _ columns: Int, _ stored: UnsafeRawBufferPointer, _ element: ElementType,
    _ destination: UnsafeMutableRawBufferPointer,
    _ statistics: UnsafeMutableBufferPointer<RowStatistics>
  ) {
    let bytes = rows.count * columns * element.size
    precondition(
      stored.count == bytes && destination.count == bytes && statistics.count == rows.count)
  }

  private static func clear(_ statistics: UnsafeMutableBufferPointer<RowStatistics>) {
    for row in statistics.indices { statistics[row] = RowStatistics() }
  }

  private static func withRowStatistics(
    _ statistics: UnsafeMutableBufferPointer<RowStatistics>,
    _ body: (UnsafeMutablePointer<ck_row_statistics>) -> Void
  ) {
    withUnsafeTemporaryAllocation(of: ck_row_statistics.self, capacity: statistics.count) { rows in
      guard let start = rows.baseAddress else { return }
      body(start)
      for row in rows.indices { statistics[row] = RowStatistics(rows[row]) }
    }
  }

  /// Calls `body` with the terms as the kernels take them, B at the first of `rows`, and scratch.
  private static func withTerms(
    _ terms: [LowRankFactors], rows: Range<Int>, columns: Int,
    _ body: (UnsafeBufferPointer<ck_low_rank>, UnsafeMutablePointer<Float>?) -> Void
  ) {
    func pin(_ index: Int, _ pinned: [ck_low_rank]) {
      guard index < terms.count else {
        let scratch = ck_low_rank_scratch(pinned, pinned.count, columns)
        return pinned.withUnsafeBufferPointer { pinned in
          withUnsafeTemporaryAllocation(of: Float.self, capacity: scratch) {
            body(pinned, $0.baseAddress)
          }
        }
      }
      let term = terms[index]
      precondition(
        term.columns == columns && rows.lowerBound >= 0 && rows.upperBound <= term.rows)
      term.a.withUnsafeBufferPointer { a in
        term.b.withUnsafeBufferPointer { b in
          guard let aStart = a.baseAddress, let bStart = b.baseAddress else {
            return pin(index + 1, pinned)  // rank 0
          }
          let term = ck_low_rank(
            a: aStart, b: bStart + rows.lowerBound * term.rank, rank: term.rank, scale: term.scale)
          pin(index + 1, pinned + [term])
        }
      }
    }
    pin(0, [])
  }
}

extension LowRankFactors {
  /// The factors of `scale · D`: the scales are multiplied in f32.
  public func scaled(by scale: Float) -> LowRankFactors {
    LowRankFactors(
      rank: rank, rows: rows, columns: columns, b: b, a: a, scale: scale * self.scale)
  }
}
