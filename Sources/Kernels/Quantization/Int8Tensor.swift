import CKernels

/// A matrix in 8 bits with one scale for each row (Dettmers et al., "LLM.int8()", arXiv:2208.07339,
/// section 2.1): `w ≈ code · scale / 127`.
public struct Int8Tensor: Sendable, Equatable {
  public let rows: Int
  public let columns: Int
  /// `rows × columns`, row-major.
  public let codes: [Int8]
  /// Largest |w| of each row, in f16 precision (`SCB`).
  public let scales: [Float]

  /// The matrix as a file holds it.
  public init(
    rows: Int, columns: Int, codes: [Int8], scales: [Float]
  ) throws(QuantizationError) {
    guard codes.count == rows * columns else {
      throw .size(part: .codes, found: codes.count, expected: rows * columns)
    }
    guard scales.count == rows else {
      throw .size(part: .scales, found: scales.count, expected: rows)
    }
    (self.rows, self.columns, self.codes, self.scales) = (rows, columns, codes, scales)
  }

  /// Quantizes a matrix that is in memory.
  ///
  /// - Parameter source: stored elements, `rows × columns`, row-major.
  public init(
    quantizing source: UnsafeRawBufferPointer, as element: ElementType, rows: Int, columns: Int
  ) throws(QuantizationError) {
    var codes = [Int8](repeating: 0, count: rows * columns)
    var scales = [Float](repeating: 0, count: rows)
    codes.withUnsafeMutableBufferPointer { codes in
      scales.withUnsafeMutableBufferPointer { scales in
        Self.encode(source, as: element, columns: columns, codes: codes, scales: scales)
      }
    }
    if let row = scales.firstIndex(where: { !$0.isFinite }) {
      let start = row * columns * element.size
      let bytes = source[start..<start + columns * element.size]
      throw .notFinite(index: row * columns + Self.firstBeyondF16(bytes, as: element))
    }
    try self.init(rows: rows, columns: columns, codes: codes, scales: scales)
  }

  /// Quantizes rows by the rule of bitsandbytes: an element is rounded to f16, then
  /// `code = f32(w · f32(f32(1 / scale) · 127))`, rounded to the nearest integer, a half to the even one. A row of
  /// zeros gets scale 0; a row whose scale is infinite or NaN has an element that is not finite in f16,
  /// and codes 0.
  ///
  /// - Parameters:
  ///   - source: whole rows of stored elements, of any alignment.
  ///   - codes: receives as many codes.
  ///   - scales: receives one scale for each row.
  public static func encode(
    _ source: UnsafeRawBufferPointer, as element: ElementType, columns: Int,
    codes: UnsafeMutableBufferPointer<Int8>, scales: UnsafeMutableBufferPointer<Float>
  ) {
    precondition(codes.count == scales.count * columns)
    precondition(source.count == codes.count * element.size)
    guard let to = scales.baseAddress else { return }
    guard let from = source.baseAddress, let out = codes.baseAddress else {
      scales.update(repeating: 0)
      return
    }
    ck_int8_encode_rows(element.kernelElement, from, scales.count, columns, out, to)
  }

  /// Decodes a part of a row: f32(f32(code · scale) · f32(1/127)), rounded once, to nearest even, to
  /// `element`.
  ///
  /// - Parameter destination: receives the elements, at any alignment.
  public static func decode(
    _ codes: UnsafeBufferPointer<Int8>, scale: Float, as element: ElementType,
    into destination: UnsafeMutableRawBufferPointer
  ) {
    precondition(destination.count == codes.count * element.size)
    guard let from = codes.baseAddress, let to = destination.baseAddress else { return }
    ck_int8_decode(from, scale, codes.count, element.kernelElement, to)
  }

  /// What was lost in each of the rows `range`.
  ///
  /// - Parameter source: the original elements of those rows, of any alignment.
  public func errors(
    of source: UnsafeRawBufferPointer, as element: ElementType, rows range: Range<Int>
  ) -> [ReconstructionError] {
    let rowBytes = columns * element.size
    precondition(source.count == range.count * rowBytes)
    return withUnsafeTemporaryAllocation(of: Float.self, capacity: columns) { decoded in
      codes.withUnsafeBufferPointer { codes in
        range.enumerated().map { place, row in
          Self.decode(
            UnsafeBufferPointer(rebasing: codes[row * columns..<(row + 1) * columns]),
            scale: scales[row], as: .f32, into: UnsafeMutableRawBufferPointer(decoded))
          let bytes = source[place * rowBytes..<(place + 1) * rowBytes]
          return ReconstructionError(
            of: UnsafeRawBufferPointer(rebasing: bytes), as: element,
            decoded: UnsafeBufferPointer(decoded))
        }
      }
    }
  }

  private static func firstBeyondF16(
    _ row: Slice<UnsafeRawBufferPointer>, as element: ElementType
  ) -> Int {
    let halves = ElementType.f16.rounded(element.widened(Array(row)))
    return halves.withUnsafeBytes { ElementType.f16.firstNonFinite(in: $0) } ?? 0
  }
}
