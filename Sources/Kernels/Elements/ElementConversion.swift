import CKernels

extension ElementType {
  var kernelElement: ck_element {
    switch self {
    case .f32: CK_F32
    case .f16: CK_F16
    case .bf16: CK_BF16
    }
  }

  /// Widens stored elements to f32, exactly. A NaN stays a NaN: of f32 and bf16 with the same bits, of
  /// f16 made quiet, with its sign and payload (spec/numerics.md, section 1).
  ///
  /// - Parameters:
  ///   - source: little-endian elements, of any alignment.
  ///   - destination: as many values; must not overlap `source`.
  public func widen(
    from source: UnsafeRawBufferPointer, to destination: UnsafeMutableBufferPointer<Float>
  ) {
    precondition(source.count == destination.count * size)
    guard let from = source.baseAddress, let to = destination.baseAddress else { return }
    ck_widen(kernelElement, from, to, destination.count)
  }

  /// Rounds values to the stored type, to nearest even: beyond the largest number to infinity, through
  /// the subnormals, keeping the sign of zero. A NaN becomes the quiet NaN with its sign and the top
  /// bits of its payload; stored as f32 it keeps its bits (spec/numerics.md, section 1).
  ///
  /// - Parameters:
  ///   - source: f32 values.
  ///   - destination: as many elements, little-endian, of any alignment; must not overlap `source`.
  public func round(
    from source: UnsafeBufferPointer<Float>, to destination: UnsafeMutableRawBufferPointer
  ) {
    precondition(destination.count == source.count * size)
    guard let from = source.baseAddress, let to = destination.baseAddress else { return }
    ck_round(kernelElement, from, to, source.count)
  }

  /// The stored elements `bytes` in f32.
  ///
  /// - Precondition: `bytes` holds whole elements.
  public func widened(_ bytes: [UInt8]) -> [Float] {
    precondition(bytes.count % size == 0)
    return [Float](unsafeUninitializedCapacity: bytes.count / size) { values, count in
      count = bytes.count / size
      bytes.withUnsafeBytes {
        widen(from: $0, to: UnsafeMutableBufferPointer(rebasing: values[..<count]))
      }
    }
  }

  /// `values` rounded and stored.
  public func rounded(_ values: [Float]) -> [UInt8] {
    [UInt8](unsafeUninitializedCapacity: values.count * size) { bytes, count in
      count = values.count * size
      let destination = UnsafeMutableRawBufferPointer(
        rebasing: UnsafeMutableRawBufferPointer(bytes)[..<count])
      values.withUnsafeBufferPointer { round(from: $0, to: destination) }
    }
  }
}
