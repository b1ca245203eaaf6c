import Kernels
import Safetensors

/// How the elements of a tensor become numbers that can be compared.
enum NumberFormat: Sendable, Equatable {
  case element(ElementType)
  case float8(Float8)
  /// Types that f32 does not hold exactly: f64 and integers.
  case wide(WideType)

  /// nil for types whose elements are no numbers of their own (packed codes, scales).
  init?(_ dtype: DType) {
    if let element = ElementType(dtype) {
      self = .element(element)
      return
    }
    switch dtype {
    case .f8e4m3: self = .float8(.e4m3fn)
    case .f8e5m2: self = .float8(.e5m2)
    default:
      guard let wide = WideType(dtype) else { return nil }
      self = .wide(wide)
    }
  }

  /// Turns stored elements into f32; f64 and integers are rounded.
  func widen(
    from source: UnsafeRawBufferPointer, to destination: UnsafeMutableBufferPointer<Float>
  ) {
    switch self {
    case .element(let element): element.widen(from: source, to: destination)
    case .float8(let type): type.widen(from: source, to: destination)
    case .wide(let type):
      for index in destination.indices { destination[index] = Float(type.value(source, index)) }
    }
  }
}

extension Float8 {
  /// The largest distance of two stored elements, counted in representable numbers, over the elements
  /// that are finite in both.
  func largestDistance(_ a: UnsafeRawBufferPointer, _ b: UnsafeRawBufferPointer) -> Int {
    let values = self.values
    func place(_ byte: UInt8) -> Int { byte < 0x80 ? Int(byte) : -Int(byte & 0x7F) }
    var largest = 0
    for (x, y) in zip(a, b) where values[Int(x)].isFinite && values[Int(y)].isFinite {
      largest = max(largest, abs(place(x) - place(y)))
    }
    return largest
  }
}

/// f64 and the integer types.
enum WideType: Sendable, Equatable {
  case f64, bool, u8, i8, u16, i16, u32, i32, u64, i64

  init?(_ dtype: DType) {
    switch dtype {
    case .f64: self = .f64
    case .bool: self = .bool
    case .u8: self = .u8
    case .i8: self = .i8
    case .u16: self = .u16
    case .i16: self = .i16
    case .u32: self = .u32
    case .i32: self = .i32
    case .u64: self = .u64
    case .i64: self = .i64
    default: return nil
    }
  }

  /// Element `index` of `bytes` as f64; integers beyond 2⁵³ are rounded.
  func value(_ bytes: UnsafeRawBufferPointer, _ index: Int) -> Double {
    self == .f64 ? real(bytes, index) : Double(integer(bytes, index))
  }

  private func real(_ bytes: UnsafeRawBufferPointer, _ index: Int) -> Double {
    Double(bitPattern: load(bytes, index))
  }

  private func integer(_ bytes: UnsafeRawBufferPointer, _ index: Int) -> Int128 {
    switch self {
    case .bool, .u8: Int128(load(bytes, index) as UInt8)
    case .i8: Int128(load(bytes, index) as Int8)
    case .u16: Int128(load(bytes, index) as UInt16)
    case .i16: Int128(load(bytes, index) as Int16)
    case .u32: Int128(load(bytes, index) as UInt32)
    case .i32: Int128(load(bytes, index) as Int32)
    case .u64: Int128(load(bytes, index) as UInt64)
    case .i64, .f64: Int128(load(bytes, index) as Int64)
    }
  }

  private func load<Word: FixedWidthInteger>(
    _ bytes: UnsafeRawBufferPointer, _ index: Int
  ) -> Word {
    let size = MemoryLayout<Word>.size
    return Word(littleEndian: bytes.loadUnaligned(fromByteOffset: index * size, as: Word.self))
  }

  /// Compares elements of this type one after the other, in f64, and finds their largest distance:
  /// of integers the difference, of f64 the count of numbers from one to the other.
  func compare(
    _ a: UnsafeRawBufferPointer, _ b: UnsafeRawBufferPointer, count: Int
  ) -> (RowComparison, distance: Int) {
    var result = RowComparison()
    var farthest: UInt64 = 0
    for index in 0..<count {
      let (x, y) = (value(a, index), value(b, index))
      let (p, q) = (integer(a, index), integer(b, index))
      if p != q { result.differing += 1 }
      guard x.isFinite, y.isFinite else {
        result.notFinite += 1
        if p != q, !(x.isNaN && y.isNaN) { result.mismatched += 1 }
        continue
      }
      let difference = self == .f64 ? x - y : Double(p - q)
      result.aSquared += x * x
      result.bSquared += y * y
      result.differenceSquared += difference * difference
      result.differenceSum += abs(difference)
      result.largest = max(result.largest, abs(difference))
      let apart = self == .f64 ? Self.place(x) - Self.place(y) : p - q
      farthest = max(farthest, UInt64(clamping: apart.magnitude))
    }
    return (result, Int(clamping: farthest))
  }

  /// The number's place in the order of all f64; neighbours differ by one.
  private static func place(_ value: Double) -> Int128 {
    let magnitude = Int128(value.magnitude.bitPattern)
    return value.sign == .minus ? -magnitude : magnitude
  }
}
