/// Examples side by side, as a model takes them. Arrays of tokens are row-major, `rows × length`.
public struct Batch: Equatable, Sendable {
  public private(set) var rows: Int
  public private(set) var length: Int
  public private(set) var ids: [Int32]
  /// 1 for tokens, 0 for padding.
  public private(set) var attentionMask: [Int32]
  /// `Example.ignoredLabel` where there is no loss. Empty for a classifier.
  public private(set) var labels: [Int32]
  /// The place of each token in its document, from 0.
  public private(set) var positions: [Int32]
  /// Which document of its row a token belongs to, from 1; 0 for padding. Tokens attend within their
  /// segment only.
  public private(set) var segments: [Int32]
  public private(set) var typeIDs: [Int32]
  /// One for each row; empty for a language model.
  public private(set) var classLabels: [Int32]
  /// `rows ×` the shape of one image; empty without images.
  public private(set) var pixels: [Float]
  /// Of one image: channels × height × width.
  public private(set) var pixelShape: [Int]

  /// Whether a row holds several documents, so that `segments` matters beyond the padding.
  public private(set) var isPacked: Bool

  /// How many predictions have a loss: labels in use, but for the first of each row.
  public var lossCount: Int {
    if !classLabels.isEmpty { return classLabels.count }
    return labels.indices.count { $0 % length != 0 && labels[$0] != Example.ignoredLabel }
  }

  /// Tokens that are not padding.
  public var tokenCount: Int { attentionMask.count { $0 != 0 } }

  /// Puts documents into rows and pads the rows, at the right, to the longest.
  ///
  /// - Parameters:
  ///   - documents: of each row, in order. Either all have labels for their tokens or none.
  ///   - paddingID: the id of padding; any id will do, it is masked.
  ///   - multiple: the length becomes a multiple of this.
  public init(_ documents: [[Example]], paddingID: Int32, multiple: Int = 1) {
    let longest = documents.map { $0.reduce(0) { $0 + $1.ids.count } }.max() ?? 0
    let length = (longest + multiple - 1) / multiple * multiple
    let size = documents.count * length
    rows = documents.count
    self.length = length
    ids = Array(repeating: paddingID, count: size)
    attentionMask = Array(repeating: 0, count: size)
    positions = Array(repeating: 0, count: size)
    segments = Array(repeating: 0, count: size)
    typeIDs = Array(repeating: 0, count: size)
    let hasLabels = documents.contains { $0.contains { !$0.labels.isEmpty } }
    labels = Array(repeating: Example.ignoredLabel, count: hasLabels ? size : 0)
    classLabels = []
    pixels = []
    pixelShape = documents.first?.first?.pixelShape ?? []
    isPacked = documents.contains { $0.count > 1 }
    for (row, examples) in documents.enumerated() {
      var start = row * length
      for (index, example) in examples.enumerated() {
        place(example, at: start, segment: Int32(index + 1))
        start += example.ids.count
        if let label = example.classLabel { classLabels.append(label) }
        pixels += example.pixels
      }
    }
  }

  private mutating func place(_ example: Example, at start: Int, segment: Int32) {
    for (offset, id) in example.ids.enumerated() {
      let i = start + offset
      ids[i] = id
      let isToken = example.attentionMask.isEmpty || example.attentionMask[offset] != 0
      attentionMask[i] = isToken ? 1 : 0
      segments[i] = isToken ? segment : 0
      positions[i] = Int32(offset)
      if !example.typeIDs.isEmpty { typeIDs[i] = example.typeIDs[offset] }
      // The first token of a document is not predicted from the document before.
      if !example.labels.isEmpty, offset > 0 || segment == 1 { labels[i] = example.labels[offset] }
    }
  }
}
