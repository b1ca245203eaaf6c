/// Elements as deflated planes of bytes: first the lowest byte of every element, then the next, so that
/// bytes of one kind stand together (spec/undo-record.md, "Original" and "Difference").
public enum PlaneCoding {
  /// The code of elements of `size` bytes.
  public static func encode(_ stored: UnsafeRawBufferPointer, size: Int) -> [UInt8] {
    let count = stored.count / size
    precondition(stored.count == count * size)
    let planes = [UInt8](unsafeUninitializedCapacity: stored.count) { planes, used in
      for byte in 0..<size {
        for at in 0..<count { planes[byte * count + at] = stored[at * size + byte] }
      }
      used = stored.count
    }
    return planes.withUnsafeBytes { Deflate.compress($0, .runs) }
  }

  /// The elements again; false when `code` is not one of as many.
  public static func decode(
    _ code: UnsafeRawBufferPointer, size: Int, into stored: UnsafeMutableRawBufferPointer
  ) -> Bool {
    let count = stored.count / size
    precondition(stored.count == count * size)
    guard let planes = Deflate.decompress(code, count: stored.count) else { return false }
    planes.withUnsafeBytes { planes in
      for byte in 0..<size {
        for at in 0..<count { stored[at * size + byte] = planes[byte * count + at] }
      }
    }
    return true
  }
}

/// W0 as its distance from W', for changes that say too little about each other
/// (spec/undo-record.md, "Difference").
public enum DifferenceCoding {
  /// The code of `stored`, the elements of W0, beside `merged`, those of W'.
  public static func encode(
    _ stored: UnsafeRawBufferPointer, merged: UnsafeRawBufferPointer, element: ElementType
  ) -> [UInt8] {
    precondition(stored.count == merged.count)
    var distances = [UInt8](repeating: 0, count: stored.count)
    distances.withUnsafeMutableBytes { distances in
      func fill<Word: FixedWidthInteger & UnsignedInteger>(_: Word.Type) {
        for at in stride(from: 0, to: stored.count, by: MemoryLayout<Word>.size) {
          let place = Word.place(stored, at)
          let distance = place &- Word.place(merged, at)
          // Small distances to either side become small numbers: 0, -1, 1, -2, ….
          let isBelow = distance >> (Word.bitWidth - 1) == 1
          let folded = isBelow ? ~(distance &<< 1) : distance &<< 1
          distances.storeBytes(of: folded.littleEndian, toByteOffset: at, as: Word.self)
        }
      }
      element.size == 4 ? fill(UInt32.self) : fill(UInt16.self)
    }
    return distances.withUnsafeBytes { PlaneCoding.encode($0, size: element.size) }
  }

  /// The elements of W0; false when `code` is not one of as many.
  public static func decode(
    _ code: UnsafeRawBufferPointer, merged: UnsafeRawBufferPointer, element: ElementType,
    into stored: UnsafeMutableRawBufferPointer
  ) -> Bool {
    precondition(stored.count == merged.count)
    guard PlaneCoding.decode(code, size: element.size, into: stored) else { return false }
    func unfold<Word: FixedWidthInteger & UnsignedInteger>(_: Word.Type) {
      for at in stride(from: 0, to: stored.count, by: MemoryLayout<Word>.size) {
        let folded = Word(
          littleEndian: stored.loadUnaligned(fromByteOffset: at, as: Word.self))
        let distance = folded & 1 == 1 ? ~(folded >> 1) : folded >> 1
        let bits = Word(atPlace: Word.place(merged, at) &+ distance)
        stored.storeBytes(of: bits.littleEndian, toByteOffset: at, as: Word.self)
      }
    }
    element.size == 4 ? unfold(UInt32.self) : unfold(UInt16.self)
    return true
  }
}

extension FixedWidthInteger where Self: UnsignedInteger {
  private static var sign: Self { 1 << (bitWidth - 1) }

  /// The place of the float at `offset` in the order of all floats of its size, from 0; -0 is just below
  /// +0.
  fileprivate static func place(_ bytes: UnsafeRawBufferPointer, _ offset: Int) -> Self {
    let bits = Self(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: Self.self))
    return bits & sign == 0 ? bits | sign : ~bits
  }

  /// The bits of the float at `place`.
  fileprivate init(atPlace place: Self) {
    self = place & Self.sign == 0 ? ~place : place & ~Self.sign
  }
}
