import Testing

@testable import Kernels

/// A matrix in memory as a source of rows.
struct MatrixRows: RowSource {
  let rows: Int
  let columns: Int
  let values: [Float]

  func read(into band: RowBand) throws {
    let first = band.rows.lowerBound * columns
    _ = band.values.update(from: values[first..<first + band.values.count])
  }
}

extension WeightUpdate {
  /// D from +0, in bands of `height` rows.
  func delta(height: Int, scale: Float = 1) -> [Float] {
    var result: [Float] = []
    for first in stride(from: 0, to: rows, by: height) {
      let band = first..<min(first + height, rows)
      var values = [Float](repeating: 0, count: band.count * columns)
      values.withUnsafeMutableBufferPointer {
        addDelta(to: RowBand(rows: band, columns: columns, values: $0), scale: scale)
      }
      result += values
    }
    return result
  }

  /// W' of the whole matrix, unrounded, by the definition of the form.
  func merged(_ base: [Float]) -> [Float] {
    var (band, untouched) = (base, base)
    var delta = form == .general ? [] : self.delta(height: rows)
    band.withUnsafeMutableBufferPointer { band in
      untouched.withUnsafeMutableBufferPointer { untouched in
        let (band, untouched) = (
          RowBand(rows: 0..<rows, columns: columns, values: band),
          RowBand(rows: 0..<rows, columns: columns, values: untouched)
        )
        switch form {
        case .general:
          transform(band, base: untouched)
        case .additive, .scaled:
          delta.withUnsafeMutableBufferPointer {
            let delta = RowBand(rows: 0..<rows, columns: columns, values: $0)
            band.add(delta)
            guard case .scaled(let axis) = form else { return }
            var factors = [Float](repeating: 0, count: band.factorCount(along: axis))
            factors.withUnsafeMutableBufferPointer {
              fillFactors(base: untouched, delta: delta, factors: $0)
              band.multiply(by: UnsafeBufferPointer($0), along: axis)
            }
          }
        }
      }
    }
    return band
  }
}

/// `W' = Q ∘ (W + D)` with Q from the base, D by rows: what a transposed update has to get right.
private struct ScaledUpdate: WeightUpdate {
  let inner: DenseUpdate
  let axis: FactorAxis
  /// Sum of the whole base, known once prepared.
  var total: Float = 0

  var rows: Int { inner.rows }
  var columns: Int { inner.columns }
  var form: UpdateForm { .scaled(axis) }

  func prepared(reading base: any RowSource) throws -> any WeightUpdate {
    var copy = self
    copy.total = try base.readAll().enumerated().reduce(0) {
      $0 + Float($1.offset % 5) * $1.element
    }
    return copy
  }

  func addDelta(to delta: RowBand, scale: Float) { inner.addDelta(to: delta, scale: scale) }

  func fillFactors(base: RowBand, delta: RowBand, factors: UnsafeMutableBufferPointer<Float>) {
    for index in factors.indices {
      factors[index] = 1 + total * Float(index) + base.values[index] + delta.values[index]
    }
  }
}

/// Rows in reverse order of their columns, plus the base: general, and not symmetric.
private struct ReversingUpdate: WeightUpdate {
  let rows: Int
  let columns: Int
  var form: UpdateForm { .general }

  func transform(_ band: RowBand, base: RowBand) {
    for row in band.rows {
      let reversed = Array(band[row].reversed())
      for column in 0..<columns { band[row][column] = reversed[column] + 2 * base[row][column] }
    }
  }
}

@Suite struct UpdateTests {
  private static let rows = 11
  private static let columns = 37

  private static func additive() -> [(name: String, update: any WeightUpdate, twin: [Float])] {
    var random = SplitMix64(seed: 12)
    let count = rows * columns
    let lowRank = LowRankFactors(
      rank: 3, rows: rows, columns: columns, b: random.floats(rows * 3, 1),
      a: random.floats(3 * columns, 1), scale: 0.37)
    let constants = random.floats(rows, 1)
    let dense = random.floats(count, 1)
    let (someRows, someColumns) = ([7, 2, 7], [36, 0, 5, 0])
    let (rowValues, columnValues) = (
      random.floats(3 * columns, 1), random.floats(rows * 4, 1)
    )
    var (sparseRows, sparseColumns) = (
      [Float](repeating: 0, count: count), [Float](repeating: 0, count: count)
    )
    for row in 0..<rows {
      for column in 0..<columns {
        let at = row * columns + column
        for (place, index) in someRows.enumerated() where index == row {
          sparseRows[at].addProduct(0.37, rowValues[place * columns + column])
        }
        for (place, index) in someColumns.enumerated() where index == column {
          sparseColumns[at].addProduct(0.37, columnValues[row * 4 + place])
        }
      }
    }
    return [
      (
        "low rank", LowRankUpdate(lowRank),
        MergeTwin.delta([lowRank], rows: 0..<rows, columns: columns)
      ),
      (
        "row constant", RowConstantUpdate(constants, columns: columns, scale: 0.37),
        (0..<count).map { 0.37 * constants[$0 / columns] }
      ),
      (
        "dense", DenseUpdate(rows: rows, columns: columns, values: dense, scale: 0.37),
        dense.map { 0.37 * $0 }
      ),
      (
        "sparse rows",
        SparseRowsUpdate(
          rows: rows, columns: columns, indices: someRows, values: rowValues, scale: 0.37),
        sparseRows
      ),
      (
        "sparse columns",
        SparseColumnsUpdate(
          rows: rows, columns: columns, indices: someColumns, values: columnValues, scale: 0.37),
        sparseColumns
      ),
    ]
  }

  @Test func additiveUpdatesInBandsOfAnyHeight() {
    for (name, update, twin) in Self.additive() {
      for height in [1, 4, Self.rows] {
        #expect(update.delta(height: height) == twin, "\(name)")
      }
      // The outer scale multiplies the inner one, in f32; a power of two is exact.
      #expect(update.delta(height: 5, scale: -2) == twin.map { $0 * -2 }, "\(name)")
    }
  }

  @Test func lowRankFormsAgreeWithTheirDelta() {
    for (name, update, twin) in Self.additive() {
      guard let lowRank = update.lowRank else { continue }
      let delta = MergeTwin.delta([lowRank], rows: 0..<Self.rows, columns: Self.columns)
      #expect(delta == twin, "\(name)")
    }
  }

  @Test func transposedUpdates() throws {
    for (name, update, twin) in Self.additive() {
      let turned = transpose(twin, rows: Self.rows, columns: Self.columns)
      let transposed = try #require(update.transposed(), "\(name)")
      #expect(transposed.rows == Self.columns && transposed.columns == Self.rows)
      for height in [1, 6, Self.columns] {
        #expect(transposed.delta(height: height) == turned, "\(name)")
      }
      let wrapped = TransposedUpdate(update)
      #expect(wrapped.form == .additive && wrapped.rowGranularity == .max)
      #expect(wrapped.delta(height: .max / 2) == turned, "\(name), wrapped")
    }
  }

  @Test(arguments: [FactorAxis.perRow, .perColumn, .perElement])
  func transposedScaledUpdate(axis: FactorAxis) throws {
    var random = SplitMix64(seed: 13)
    let (rows, columns) = (5, 9)
    let base = random.floats(rows * columns, 1)
    var delta = random.floats(rows * columns, 1)
    delta[3] = 0
    let update = ScaledUpdate(
      inner: DenseUpdate(rows: rows, columns: columns, values: delta), axis: axis)
    let straight = try update.prepared(
      reading: MatrixRows(rows: rows, columns: columns, values: base)
    ).merged(base)
    let turned = transpose(base, rows: rows, columns: columns)
    let wrapped = try TransposedUpdate(update).prepared(
      reading: MatrixRows(rows: columns, columns: rows, values: turned))
    #expect(wrapped.form == .general)
    #expect(wrapped.merged(turned) == transpose(straight, rows: rows, columns: columns))
  }

  @Test func transposedGeneralUpdate() {
    var random = SplitMix64(seed: 14)
    let base = random.floats(5 * 9, 1)
    let update = ReversingUpdate(rows: 5, columns: 9)
    let wrapped = TransposedUpdate(update)
    #expect(wrapped.rows == 9 && wrapped.columns == 5 && wrapped.form == .general)
    #expect(
      wrapped.merged(transpose(base, rows: 5, columns: 9))
        == transpose(update.merged(base), rows: 5, columns: 9))
  }

  @Test(arguments: [(0, 3), (1, 1), (3, 70), (64, 33)])
  func transposes(rows: Int, columns: Int) {
    let turned = transpose((0..<rows * columns).map(Float.init), rows: rows, columns: columns)
    #expect(turned == (0..<rows * columns).map { Float($0 % rows * columns + $0 / rows) })
  }

  @Test func statisticsAddUpInOrder() {
    let rows = [(1e16, 1), (1, 2), (-1e16, 3)].map {
      RowStatistics(deltaSquared: 4, keptDotDelta: $0.0, weightSquared: 1, changed: $0.1)
    }
    let sum = RowStatistics.sum(rows)
    #expect(sum == RowStatistics(deltaSquared: 12, keptDotDelta: 0, weightSquared: 3, changed: 6))
    #expect(sum.retention == 0 && RowStatistics().retention == nil)
  }
}
