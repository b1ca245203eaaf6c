/// `W' = W + D` where every row of D is one of a few templates, each on a run of columns: MoRA.
///
/// One addition per element of a template's run; elements outside keep their bits.
public struct RepeatedRowsUpdate: WeightUpdate {
  /// A row of D: `values` from column `start` on, going round to column 0 at the end of the row.
  public struct Template: Sendable {
    public var start: Int
    /// At most one per column.
    public var values: [Float]

    public init(start: Int, values: [Float]) {
      (self.start, self.values) = (start, values)
    }
  }

  private let templates: [Template]
  /// nil where D is zero.
  private let templateOfRow: [Int?]
  public let columns: Int

  public init(templates: [Template], templateOfRow: [Int?], columns: Int) {
    precondition(
      templates.allSatisfy {
        $0.values.count <= columns && (0..<max(columns, 1)).contains($0.start)
      })
    (self.templates, self.templateOfRow, self.columns) = (templates, templateOfRow, columns)
  }

  public var rows: Int { templateOfRow.count }
  public var form: UpdateForm { .additive }

  public func addDelta(to delta: RowBand, scale: Float) {
    for row in delta.rows {
      guard let index = templateOfRow[row] else { continue }
      let template = templates[index]
      let fitting = min(template.values.count, columns - template.start)
      let target = delta[row]
      template.values.withUnsafeBufferPointer { values in
        VectorArithmetic.add(
          UnsafeBufferPointer(rebasing: values[..<fitting]), times: scale,
          to: UnsafeMutableBufferPointer(
            rebasing: target[template.start..<template.start + fitting]))
        VectorArithmetic.add(
          UnsafeBufferPointer(rebasing: values[fitting...]), times: scale,
          to: UnsafeMutableBufferPointer(rebasing: target[..<(values.count - fitting)]))
      }
    }
  }

  public func transposed() -> (any WeightUpdate)? { RepeatedColumnsUpdate(self) }

  /// D as `B·A` with a row of A per template and zeros and ones in B; exact, of a rank that makes
  /// sense only where there are few templates.
  public var exactLowRank: LowRankFactors {
    let rank = templates.count
    var a = [Float](repeating: 0, count: rank * columns)
    var b = [Float](repeating: 0, count: rows * rank)
    for (k, template) in templates.enumerated() {
      for (offset, value) in template.values.enumerated() {
        a[k * columns + (template.start + offset) % columns] = value
      }
    }
    for (row, index) in templateOfRow.enumerated() {
      if let index { b[row * rank + index] = 1 }
    }
    return LowRankFactors(rank: rank, rows: rows, columns: columns, b: b, a: a, scale: 1)
  }

  /// D's element in `row`, `column`.
  fileprivate func element(_ row: Int, _ column: Int) -> Float {
    guard let index = templateOfRow[row] else { return 0 }
    let template = templates[index]
    var offset = column - template.start
    if offset < 0 { offset += columns }
    return offset < template.values.count ? template.values[offset] : 0
  }
}

/// The same on the transposed matrix: every column is one of a few templates.
private struct RepeatedColumnsUpdate: WeightUpdate {
  let wrapped: RepeatedRowsUpdate

  init(_ wrapped: RepeatedRowsUpdate) { self.wrapped = wrapped }

  var rows: Int { wrapped.columns }
  var columns: Int { wrapped.rows }
  var form: UpdateForm { .additive }

  func addDelta(to delta: RowBand, scale: Float) {
    for row in delta.rows {
      let target = delta[row]
      for column in target.indices {
        target[column].addProduct(scale, wrapped.element(column, row))
      }
    }
  }

  func transposed() -> (any WeightUpdate)? { wrapped }
}
