import Kernels
import Safetensors

/// What a checkpoint says of a 4-bit weight: the JSON in `quant_state.bitsandbytes__nf4`
/// (spec/nf4-checkpoint.md, section 4).
public struct QuantState: Equatable, Sendable {
  /// `nf4` or `fp4`.
  public var type: String
  public var blockSize: Int
  /// The type that the weight had and is decoded to.
  public var element: ElementType
  /// The weight's own shape.
  public var shape: [Int]
  /// The mean that was taken off the scales; nil where they are not quantized.
  public var nestedOffset: Float?

  /// The text as `json.dumps` prints it.
  public var text: String {
    var object: JSONObject = [
      "quant_type": .string(type),
      "blocksize": .int(blockSize),
      "dtype": .string(element.torchName),
      "shape": .array(shape.map { .int($0) }),
    ]
    if let nestedOffset {
      object["nested_blocksize"] = .int(NestedScales.blockSize)
      object["nested_dtype"] = "float32"
      object["nested_offset"] = .double(Double(nestedOffset))
    }
    return JSONValue.object(object).serialized(style: .pythonLine)
  }

  public init(
    type: String, blockSize: Int, element: ElementType, shape: [Int], nestedOffset: Float?
  ) {
    (self.type, self.blockSize, self.element) = (type, blockSize, element)
    (self.shape, self.nestedOffset) = (shape, nestedOffset)
  }

  /// Reads the JSON; nil when it is not what it should be.
  public init?(_ bytes: [UInt8]) {
    guard let json = try? JSONValue.parse(bytes, allowsNonFinite: true),
      let type = json["quant_type"]?.string, let blockSize = json["blocksize"]?.int,
      let element = json["dtype"]?.string.flatMap(ElementType.init(torchName:)),
      let shape = json["shape"]?.array?.map(\.int), !shape.contains(nil)
    else { return nil }
    let extents = shape.compactMap { $0 }
    guard extents.count == 2, extents.allSatisfy({ $0 > 0 && $0 < 1 << 31 }) else { return nil }
    if let nested = json["nested_blocksize"]?.int, nested != NestedScales.blockSize { return nil }
    var offset: Float?
    if let stated = json["nested_offset"]?.double {
      guard stated.isFinite else { return nil }
      offset = Float(stated)
    }
    self.init(
      type: type, blockSize: blockSize, element: element, shape: extents, nestedOffset: offset)
  }
}

extension ElementType {
  /// `bfloat16`, `float16`, `float32`.
  var torchName: String {
    switch self {
    case .f32: "float32"
    case .f16: "float16"
    case .bf16: "bfloat16"
    }
  }

  init?(torchName name: String) {
    guard
      let found = Self.allCases.first(where: {
        name == $0.torchName || name == "torch." + $0.torchName
      })
    else { return nil }
    self = found
  }
}
