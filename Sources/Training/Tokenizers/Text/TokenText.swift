/// A string of Unicode scalars as a dictionary key, equal only to the same scalars.
///
/// `String` compares by canonical equivalence, so that `"é"` and `"e\u{301}"` would be one key; a
/// vocabulary may hold both.
struct TokenText: Hashable, Sendable {
  let scalars: ArraySlice<Unicode.Scalar>

  init(_ scalars: ArraySlice<Unicode.Scalar>) {
    self.scalars = scalars
  }

  init(_ string: String) {
    scalars = Array(string.unicodeScalars)[...]
  }

  /// The same text in storage of its own, which keeps no longer text alive.
  var detached: TokenText { TokenText(Array(scalars)[...]) }

  static func == (a: TokenText, b: TokenText) -> Bool {
    a.scalars.elementsEqual(b.scalars)
  }

  func hash(into hasher: inout Hasher) {
    scalars.withUnsafeBytes { hasher.combine(bytes: $0) }
  }
}

extension String {
  /// The string of these scalars, as they are: no normalization.
  init(scalars: some Sequence<Unicode.Scalar>) {
    var view = String.UnicodeScalarView()
    view.append(contentsOf: scalars)
    self.init(view)
  }
}
