/// A string that is equal only to the same bytes.
///
/// Swift's `String` compares by canonical equivalence: `"é"` and `"e\u{301}"` are one dictionary key.
/// Names in files are bytes, and both may occur in one file.
struct ExactString: Hashable, Sendable {
  let string: String

  init(_ string: String) {
    self.string = string
  }

  static func == (a: ExactString, b: ExactString) -> Bool {
    a.string.utf8.elementsEqual(b.string.utf8)
  }

  func hash(into hasher: inout Hasher) {
    var string = string
    string.withUTF8 { hasher.combine(bytes: UnsafeRawBufferPointer($0)) }
  }
}

extension String {
  /// Whether `self` comes before `other` in the order of their UTF-8 bytes (of their code points).
  public func precedesByUTF8(_ other: String) -> Bool {
    utf8.lexicographicallyPrecedes(other.utf8)
  }
}
