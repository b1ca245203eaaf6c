/// A text as the model takes it: one entry per token in every array.
public struct Encoding: Equatable, Sendable {
  public var ids: [Int32]
  /// Which sequence of a pair a token belongs to, as BERT's segment ids.
  public var typeIDs: [Int32]
  /// 1 for tokens, 0 for padding.
  public var attentionMask: [Int32]
  /// 1 for tokens that a post-processor or padding added.
  public var specialTokensMask: [Int32]

  public init(ids: [Int32] = [], typeID: Int32 = 0, isSpecial: Bool = false) {
    self.ids = ids
    typeIDs = Array(repeating: typeID, count: ids.count)
    attentionMask = Array(repeating: 1, count: ids.count)
    specialTokensMask = Array(repeating: isSpecial ? 1 : 0, count: ids.count)
  }

  public var count: Int { ids.count }

  mutating func setTypeID(_ typeID: Int32) {
    typeIDs = Array(repeating: typeID, count: ids.count)
  }

  mutating func append(_ other: Encoding) {
    ids += other.ids
    typeIDs += other.typeIDs
    attentionMask += other.attentionMask
    specialTokensMask += other.specialTokensMask
  }

  /// Keeps `length` tokens of the side that `direction` does not cut.
  mutating func truncate(to length: Int, _ direction: TokenDirection) {
    guard length < count else { return }
    let kept = direction == .right ? 0..<length : count - length..<count
    ids = Array(ids[kept])
    typeIDs = Array(typeIDs[kept])
    attentionMask = Array(attentionMask[kept])
    specialTokensMask = Array(specialTokensMask[kept])
  }

  mutating func pad(to length: Int, _ padding: Padding) {
    guard length > count else { return }
    var filler = Encoding(
      ids: Array(repeating: padding.id, count: length - count), typeID: padding.typeID,
      isSpecial: true)
    filler.attentionMask = Array(repeating: 0, count: filler.count)
    if padding.direction == .right {
      append(filler)
    } else {
      filler.append(self)
      self = filler
    }
  }
}

/// The side of a sequence at which tokens are cut or added.
public enum TokenDirection: String, Sendable {
  case left = "Left"
  case right = "Right"
}
