/// An additive update that can write any row of D on its own.
protocol RowwiseDelta: WeightUpdate {
  /// A function that writes row `row` of D over zeros. It is made once per band, on the band's thread,
  /// and owns its scratch memory.
  func makeRowWriter() -> (_ row: Int, _ values: UnsafeMutableBufferPointer<Float>) -> Void
}

extension RowwiseDelta {
  var form: UpdateForm { .additive }

  func addDelta(to delta: RowBand, scale: Float) {
    let write = makeRowWriter()
    withUnsafeTemporaryAllocation(of: Float.self, capacity: columns) { values in
      for row in delta.rows {
        values.initialize(repeating: 0)
        write(row, values)
        delta[row].addProduct(scale, UnsafeBufferPointer(values))
      }
    }
  }
}

/// An update that turns each row of W into the same row of W' on its own.
protocol RowwiseTransform: WeightUpdate {
  /// Numbers that `transform(row:_:base:scratch:)` works in.
  var scratchCount: Int { get }

  /// Turns row `row` of W, in `values`, into the row of W'; `base` is the row of the untouched W0.
  /// `scratch` holds whatever the row before left there.
  func transform(
    row: Int, _ values: UnsafeMutableBufferPointer<Float>,
    base: UnsafeMutableBufferPointer<Float>, scratch: UnsafeMutableBufferPointer<Float>)
}

extension RowwiseTransform {
  var form: UpdateForm { .general }
  var scratchCount: Int { 0 }

  func transform(_ band: RowBand, base: RowBand) {
    withUnsafeTemporaryAllocation(of: Float.self, capacity: scratchCount) { scratch in
      scratch.initialize(repeating: 0)
      for row in band.rows { transform(row: row, band[row], base: base[row], scratch: scratch) }
    }
  }
}

extension UnsafeMutableBufferPointer<Float> {
  /// `self += factor · values`, each by one fused multiply-add.
  func addProduct(_ factor: Float, _ values: UnsafeBufferPointer<Float>) {
    VectorArithmetic.add(values, times: factor, to: self)
  }

  /// `self *= factor`.
  func multiply(by factor: Float) {
    VectorArithmetic.scale(self, by: factor)
  }

  /// The elements of `range`.
  func slice(_ range: Range<Int>) -> UnsafeMutableBufferPointer<Float> {
    UnsafeMutableBufferPointer(rebasing: self[range])
  }
}

extension UnsafeBufferPointer<Float> {
  /// Row `index` of a matrix of `columns` columns, row-major.
  func row(_ index: Int, columns: Int) -> UnsafeBufferPointer<Float> {
    UnsafeBufferPointer(rebasing: self[index * columns..<(index + 1) * columns])
  }
}
