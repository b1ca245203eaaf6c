/// An update of a matrix that is stored transposed, where the update has no transposed form of its
/// own: the whole matrix is turned in memory.
///
/// It stays additive around an additive update; around any other it is general, and needs all rows in
/// one band.
public struct TransposedUpdate: WeightUpdate {
  /// The update in the papers' orientation, `columns × rows` of this one.
  public let wrapped: any WeightUpdate

  public init(_ wrapped: any WeightUpdate) {
    self.wrapped = wrapped
  }

  public var rows: Int { wrapped.columns }
  public var columns: Int { wrapped.rows }
  public var form: UpdateForm { wrapped.form == .additive ? .additive : .general }
  public var rowGranularity: Int { .max }
  public var dependence: BaseDependence { form == .additive ? wrapped.dependence : .change }
  public func transposed() -> (any WeightUpdate)? { wrapped }

  public func prepared(reading base: any RowSource) throws -> any WeightUpdate {
    TransposedUpdate(try wrapped.prepared(reading: TransposedRows(base)))
  }

  public func addDelta(to delta: RowBand, scale: Float) {
    withTransposed(delta) { wrapped.addDelta(to: $0, scale: scale) }
  }

  public func transform(_ band: RowBand, base: RowBand) {
    withTransposed(band) { band in
      let zero = [Float](repeating: 0, count: rows * columns)
      switch wrapped.form {
      case .general:
        withCopy(transpose(Array(base.values), rows: rows, columns: columns)) {
          wrapped.transform(band, base: $0)
        }
      case .additive:
        withCopy(zero) { delta in
          wrapped.addDelta(to: delta, scale: 1)
          band.add(delta)
        }
      case .scaled(let axis):
        withCopy(transpose(Array(base.values), rows: rows, columns: columns)) { base in
          withCopy(zero) { delta in
            wrapped.addDelta(to: delta, scale: 1)
            var factors = [Float](repeating: 1, count: band.factorCount(along: axis))
            factors.withUnsafeMutableBufferPointer {
              wrapped.fillFactors(base: base, delta: delta, factors: $0)
              band.add(delta)
              band.multiply(by: UnsafeBufferPointer($0), along: axis)
            }
          }
        }
      }
    }
  }

  /// Calls `body` with the band transposed, and transposes back what it makes of it.
  private func withTransposed(_ band: RowBand, _ body: (RowBand) -> Void) {
    precondition(band.rows == 0..<rows)
    withCopy(transpose(Array(band.values), rows: rows, columns: columns)) { turned in
      body(turned)
      let back = transpose(Array(turned.values), rows: columns, columns: rows)
      _ = band.values.update(from: back)
    }
  }

  /// Calls `body` with `values` as a band of all rows of the wrapped update.
  private func withCopy(_ values: [Float], _ body: (RowBand) -> Void) {
    var values = values
    values.withUnsafeMutableBufferPointer {
      body(RowBand(rows: 0..<wrapped.rows, columns: wrapped.columns, values: $0))
    }
  }
}

/// The rows of a transposed matrix. All of it is read when the first row is asked for.
final class TransposedRows: RowSource {
  private let source: any RowSource
  private var turned: [Float]?

  init(_ source: any RowSource) {
    self.source = source
  }

  var rows: Int { source.columns }
  var columns: Int { source.rows }

  func read(into band: RowBand) throws {
    let values: [Float]
    if let turned {
      values = turned
    } else {
      values = transpose(try source.readAll(), rows: source.rows, columns: source.columns)
      turned = values
    }
    let first = band.rows.lowerBound * columns
    _ = band.values.update(from: values[first..<first + band.values.count])
  }
}
