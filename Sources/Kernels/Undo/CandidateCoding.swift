import CKernels

/// Rows of W' and the change that made them: all but W0 itself.
public struct ChangedRows {
  /// D.
  public let delta: RowBand
  /// Q: one per row of the band, one per column, or a full band; nil for an additive change.
  public let factors: (values: UnsafeBufferPointer<Float>, axis: FactorAxis)?
  public let element: ElementType
  /// The rows as stored.
  public let merged: UnsafeRawBufferPointer

  public init(
    delta: RowBand, factors: (values: UnsafeBufferPointer<Float>, axis: FactorAxis)? = nil,
    element: ElementType, merged: UnsafeRawBufferPointer
  ) {
    precondition(merged.count == delta.rows.count * delta.columns * element.size)
    if let factors {
      precondition(factors.values.count >= delta.factorCount(along: factors.axis))
    }
    self.delta = delta
    self.factors = factors
    self.element = element
    self.merged = merged
  }
}

/// What a 16-bit sum forgets of W0, and nothing else (spec/undo-record.md, "Candidates").
///
/// Who knows W' = round(Q·(w + D)), D and Q knows which w may have been there: rounding is monotone, so
/// they are neighbours in the order of the floats. Stored is which of them it was, in ⌈log₂ count⌉ bits;
/// in most places there is one, and no bit. Every bit pattern comes back: zeros of both signs,
/// subnormals, infinities, NaNs with their payloads.
public enum CandidateCoding {
  /// The code of `stored`, the rows of W0, in `bytes`.
  ///
  /// - Parameter bytes: as many bytes as `stored` has are always enough.
  /// - Returns: bytes used; nil when some element of W' is not what W0, D and Q give.
  public static func encode(
    _ stored: UnsafeRawBufferPointer, of rows: ChangedRows,
    into bytes: UnsafeMutableRawBufferPointer
  ) -> Int? {
    precondition(stored.count == rows.merged.count)
    guard var stored = stored.baseAddress, let start = bytes.baseAddress else {
      return 0
    }
    var stream = ck_bit_stream()
    stream.bytes = start.assumingMemoryBound(to: UInt8.self)
    stream.capacity = bytes.count
    let isDone = forEachRun(rows) { run in
      guard ck_write_candidates(&run, stored, &stream) == 0 else { return false }
      stored += run.count * rows.element.size
      return true
    }
    guard isDone, ck_finish_bits(&stream) == 0 else { return nil }
    return stream.used
  }

  /// W0 again, in `stored`.
  ///
  /// - Returns: false when `code` is not one of these rows: too short, too long, or naming elements
  ///   that there are not.
  public static func decode(
    _ code: UnsafeRawBufferPointer, of rows: ChangedRows,
    into stored: UnsafeMutableRawBufferPointer
  ) -> Bool {
    precondition(stored.count == rows.merged.count)
    guard var target = stored.baseAddress else { return code.isEmpty }
    // The stream is only read: nothing is written through the pointer.
    var stream = ck_bit_stream()
    stream.bytes = UnsafeMutableRawPointer(mutating: code.baseAddress)?
      .assumingMemoryBound(to: UInt8.self)
    stream.capacity = code.count
    let isDone = forEachRun(rows) { run in
      guard ck_read_candidates(&run, target, &stream) == 0 else { return false }
      target += run.count * rows.element.size
      return true
    }
    return isDone && stream.used == code.count && stream.held == 0
  }

  /// Calls `body` with runs of elements whose factors follow one rule, until it returns false.
  private static func forEachRun(_ rows: ChangedRows, _ body: (inout ck_changed) -> Bool) -> Bool {
    let columns = rows.delta.columns
    var run = ck_changed()
    run.element = rows.element.kernelElement
    run.merged = rows.merged.baseAddress
    run.delta = UnsafePointer(rows.delta.values.baseAddress)
    guard let (factors, axis) = rows.factors, axis != .perElement else {
      run.count = rows.delta.rows.count * columns
      run.factors = rows.factors?.values.baseAddress
      run.factor_stride = 1
      return body(&run)
    }
    run.count = columns
    run.factors = factors.baseAddress
    run.factor_stride = axis == .perColumn ? 1 : 0
    for _ in rows.delta.rows {
      guard body(&run) else { return false }
      run.merged += columns * rows.element.size
      run.delta += columns
      if axis == .perRow { run.factors += 1 }
    }
    return true
  }
}
