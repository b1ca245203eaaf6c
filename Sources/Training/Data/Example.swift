/// One example of a data set.
///
/// A text has `ids` and, for language models, `labels`; an image has `pixels`; an example of a
/// classifier has a `classLabel`.
public struct Example: Equatable, Sendable {
  /// The label of a token on which there is no loss.
  public static let ignoredLabel: Int32 = -100

  public var ids: [Int32]
  /// For each token the id that the model should give it, which is its own or `ignoredLabel`: the loss
  /// compares the prediction at `t` with the label at `t + 1`. Empty for a classifier.
  public var labels: [Int32]
  /// 1 for tokens, 0 for padding that the data carries. Empty: all 1.
  public var attentionMask: [Int32]
  /// BERT's segment ids. Empty: all 0.
  public var typeIDs: [Int32]
  public var classLabel: Int32?
  /// Row-major values of `pixelShape`, channels × height × width.
  public var pixels: [Float]
  public var pixelShape: [Int]

  public init(
    ids: [Int32] = [], labels: [Int32] = [], attentionMask: [Int32] = [], typeIDs: [Int32] = [],
    classLabel: Int32? = nil, pixels: [Float] = [], pixelShape: [Int] = []
  ) {
    self.ids = ids
    self.labels = labels
    self.attentionMask = attentionMask
    self.typeIDs = typeIDs
    self.classLabel = classLabel
    self.pixels = pixels
    self.pixelShape = pixelShape
  }

  /// The first `length` tokens.
  public func truncated(to length: Int) -> Example {
    var result = self
    result.ids = Array(ids.prefix(length))
    result.labels = Array(labels.prefix(length))
    result.attentionMask = Array(attentionMask.prefix(length))
    result.typeIDs = Array(typeIDs.prefix(length))
    return result
  }
}
