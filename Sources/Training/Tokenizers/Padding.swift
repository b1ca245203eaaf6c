import Safetensors

/// How encodings are brought to one length.
public struct Padding: Equatable, Sendable {
  public enum Length: Equatable, Sendable {
    /// That of the longest encoding of the batch.
    case longest
    case fixed(Int)
  }

  public var length: Length
  public var direction: TokenDirection
  /// The length becomes a multiple of this.
  public var multiple: Int?
  public var id: Int32
  public var typeID: Int32

  public init(
    length: Length = .longest, direction: TokenDirection = .right, multiple: Int? = nil, id: Int32,
    typeID: Int32 = 0
  ) {
    self.length = length
    self.direction = direction
    self.multiple = multiple
    self.id = id
    self.typeID = typeID
  }

  init(_ settings: ComponentSettings) throws(TokenizerError) {
    let strategy = try settings.required("strategy")
    if let count = strategy["Fixed"]?.int, count >= 0 {
      length = .fixed(count)
    } else if strategy.string == "BatchLongest" {
      length = .longest
    } else {
      throw settings.invalid("strategy")
    }
    guard let direction = TokenDirection(rawValue: try settings.string("direction")) else {
      throw settings.invalid("direction")
    }
    self.direction = direction
    multiple =
      settings["pad_to_multiple_of"] == nil ? nil : try settings.count("pad_to_multiple_of")
    guard let id = Int32(exactly: try settings.count("pad_id")),
      let typeID = Int32(exactly: try settings.count("pad_type_id"))
    else { throw settings.invalid("pad_id") }
    self.id = id
    self.typeID = typeID
  }

  /// Pads all of `encodings` to one length; longer ones stay.
  public func apply(to encodings: inout [Encoding]) {
    var target =
      switch length {
      case .longest: encodings.map(\.count).max() ?? 0
      case .fixed(let count): count
      }
    if let multiple, multiple > 0, target % multiple > 0 { target += multiple - target % multiple }
    for i in encodings.indices { encodings[i].pad(to: target, self) }
  }
}
