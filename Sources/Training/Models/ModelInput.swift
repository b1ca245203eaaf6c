import Kernels

/// A batch as a model reads it: sequences one after the other without padding, and which outputs are
/// compared with what.
public struct ModelInput: Sendable {
  public var layout = TokenLayout(lengths: [])
  /// One for each token.
  public var ids: [Int32] = []
  /// BERT's segment of each token.
  public var types: [Int32] = []
  /// Image after image, channels × height × width each.
  public var pixels: [Float] = []
  /// The tokens whose outputs count, ascending, and what they are compared with.
  public var rows: [Int] = []
  public var targets = Targets.classes([])
  /// How many of `rows` each target takes the mean of, in their order; empty where each has its own.
  public var pooled: [Int] = []

  /// What is compared.
  public var targetCount: Int { pooled.isEmpty ? rows.count : pooled.count }

  public init() {}

  /// What a classifier of sequences looks at.
  public enum Pooling: String, Sendable, CaseIterable {
    /// The first token; of BERT through its pooler.
    case first
    case last
    /// The mean of all tokens: a sentence embedding.
    case mean
  }

  /// Predictions of each next token: the output at t is compared with the label at t + 1, where that is
  /// not ignored. Padding is left out; a label behind padding has nothing that predicts it.
  public init(languageModel batch: Batch) throws(ModelError) {
    self.init(tokens: batch)
    guard !batch.labels.isEmpty else { throw .missingInput("labels") }
    var row = 0
    var classes: [Int32] = []
    for place in batch.ids.indices where batch.attentionMask[place] != 0 {
      let next = place + 1
      if next % batch.length != 0, batch.labels[next] != Example.ignoredLabel {
        rows.append(row)
        classes.append(batch.labels[next])
      }
      row += 1
    }
    guard !rows.isEmpty else { throw .noTargets }
    targets = .classes(classes)
  }

  /// One class for each row of the batch.
  public init(classifier batch: Batch, pooling: Pooling) throws(ModelError) {
    self.init(tokens: batch)
    guard batch.classLabels.count == batch.rows, layout.sequences == batch.rows else {
      throw .missingInput("labels")
    }
    switch pooling {
    case .first: rows = (0..<batch.rows).map { layout.starts[$0] }
    case .last: rows = (0..<batch.rows).map { layout.starts[$0 + 1] - 1 }
    case .mean:
      rows = Array(0..<layout.tokens)
      pooled = (0..<batch.rows).map { layout.rows(of: $0).count }
    }
    targets = .classes(batch.classLabels)
  }

  /// One class for each image.
  ///
  /// - Parameter length: tokens of an image, the first of which is for the class.
  public init(images batch: Batch, length: Int) throws(ModelError) {
    guard !batch.pixels.isEmpty else { throw .missingInput("pixel_values") }
    guard batch.classLabels.count == batch.rows else { throw .missingInput("labels") }
    layout = TokenLayout(lengths: [Int](repeating: length, count: batch.rows))
    pixels = batch.pixels
    rows = (0..<batch.rows).map { $0 * length }
    targets = .classes(batch.classLabels)
  }

  /// The tokens that are not padding; a document is a sequence.
  private init(tokens batch: Batch) {
    var lengths: [Int] = []
    var positions: [Int32] = []
    var last: (row: Int, segment: Int32)?
    for place in batch.ids.indices where batch.attentionMask[place] != 0 {
      let owner = (row: place / batch.length, segment: batch.segments[place])
      if last.map({ $0 == owner }) == true {
        lengths[lengths.count - 1] += 1
      } else {
        lengths.append(1)
      }
      last = owner
      ids.append(batch.ids[place])
      types.append(batch.typeIDs[place])
      positions.append(batch.positions[place])
    }
    layout = TokenLayout(lengths: lengths, positions: positions)
  }
}
