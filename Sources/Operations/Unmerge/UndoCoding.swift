/// How a record brings back one tensor of the base (spec/undo-record.md, "Codings").
enum UndoCoding: String, Sendable, CaseIterable {
  /// The merge did not change it.
  case same
  /// Which of the elements it was that the adapters turn into the merged one.
  case candidates
  /// The distance to the merged element, in the order of the floats.
  case difference
  /// The bytes themselves.
  case original

  /// Elements that are coded together, about: few enough to be decoded for the sake of some of them,
  /// many enough that the length of their code is nothing.
  static let chunkElements = 1 << 16

  /// The coding is made of chunks.
  var hasChunks: Bool { self != .same }
}
