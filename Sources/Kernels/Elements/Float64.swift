/// f64 elements, which some adapters are stored in.
public enum Float64 {
  /// Rounds stored f64 elements to f32, to nearest even, beyond the largest f32 to infinity.
  ///
  /// - Parameter source: little-endian elements, of any alignment.
  public static func round(
    from source: UnsafeRawBufferPointer, to destination: UnsafeMutableBufferPointer<Float>
  ) {
    precondition(source.count == destination.count * 8)
    for index in destination.indices {
      let bits = UInt64(
        littleEndian: source.loadUnaligned(fromByteOffset: index * 8, as: UInt64.self))
      destination[index] = Float(Double(bitPattern: bits))
    }
  }

  /// Widens f32 values to f64, exactly, and stores them.
  ///
  /// - Parameter destination: as many elements, little-endian, of any alignment.
  public static func widen(
    from source: UnsafeBufferPointer<Float>, to destination: UnsafeMutableRawBufferPointer
  ) {
    precondition(destination.count == source.count * 8)
    for index in source.indices {
      let bits = Double(source[index]).bitPattern.littleEndian
      destination.storeBytes(of: bits, toByteOffset: index * 8, as: UInt64.self)
    }
  }
}
