/// The header of a safetensors file: every tensor with its type, shape and place, and the metadata.
///
/// A header that exists is sound: the tensors cover the body from its first byte to the end of the
/// file, without gap or overlap, each as long as its type and shape say.
public struct SafetensorsHeader: Sendable {
  /// The longest header that the format allows, padding included.
  public static let maximumSize = 100_000_000
  /// The bytes before the header, which hold its length.
  public static let prefixSize = 8
  static let metadataKey = "__metadata__"

  /// In storage order.
  public let tensors: [TensorInfo]
  /// In the order of the file; nil when the header has no metadata.
  public let metadataEntries: [(key: String, value: String)]?
  /// Where the tensors' bytes begin in the file.
  public let bodyStart: Int
  private let positions: [ExactString: Int]

  public var metadata: [String: String]? {
    metadataEntries.map { Dictionary($0, uniquingKeysWith: { $1 }) }
  }

  /// The tensor `name`; nil when there is none.
  public subscript(name: String) -> TensorInfo? {
    position(of: name).map { tensors[$0] }
  }

  /// The place of the tensor `name` in `tensors`.
  public func position(of name: String) -> Int? { positions[ExactString(name)] }

  /// The tensor `name`.
  public func tensor(_ name: String) throws(SafetensorsError) -> TensorInfo {
    guard let tensor = self[name] else { throw .tensorNotFound(name) }
    return tensor
  }

  /// The length of the header, from the first 8 bytes of a file of `fileSize` bytes.
  public static func size(
    prefix: some Collection<UInt8>, fileSize: Int
  ) throws(SafetensorsError) -> Int {
    guard prefix.count >= prefixSize, fileSize >= prefixSize else {
      throw .headerTooSmall(fileSize: fileSize)
    }
    let size = prefix.prefix(prefixSize).reversed().reduce(0 as UInt64) { $0 << 8 | UInt64($1) }
    guard size <= UInt64(maximumSize) else {
      throw .headerTooLarge(headerSize: size, limit: maximumSize)
    }
    guard Int(size) <= fileSize - prefixSize else {
      throw .headerPastEnd(headerSize: Int(size), fileSize: fileSize)
    }
    return Int(size)
  }

  /// Reads the header that stands behind the first 8 bytes of a file of `fileSize` bytes.
  ///
  /// Accepts what the reference accepts, except duplicate names, which the format forbids and the
  /// reference resolves silently, and two spellings that no writer uses (a tensor's entry as an array,
  /// its type as an object).
  public static func parse(
    headerBytes: [UInt8], fileSize: Int
  ) throws(SafetensorsError) -> SafetensorsHeader {
    let raw = try RawHeader(headerBytes)
    return try SafetensorsHeader(
      validating: raw, bodyStart: prefixSize + headerBytes.count, fileSize: fileSize)
  }

  /// Reads the header of a whole file in memory.
  public static func parse(file bytes: [UInt8]) throws(SafetensorsError) -> SafetensorsHeader {
    let size = try size(prefix: bytes.prefix(prefixSize), fileSize: bytes.count)
    return try parse(
      headerBytes: Array(bytes[prefixSize..<prefixSize + size]), fileSize: bytes.count)
  }

  /// Checks that the tensors of `raw` cover the body of a file exactly.
  private init(validating raw: RawHeader, bodyStart: Int, fileSize: Int) throws(SafetensorsError) {
    // An empty tensor comes before the one that begins at the same byte.
    let order = raw.tensors.indices.sorted {
      let (a, b) = (raw.tensors[$0], raw.tensors[$1])
      return (a.begin, a.end, $0) < (b.begin, b.end, $1)
    }
    var tensors: [TensorInfo] = []
    tensors.reserveCapacity(order.count)
    var positions: [ExactString: Int] = [:]
    positions.reserveCapacity(order.count)
    var end: UInt64 = 0
    for tensor in order.lazy.map({ raw.tensors[$0] }) {
      guard tensor.begin == end, tensor.end >= tensor.begin else {
        throw .invalidOffset(
          tensor: tensor.name, begin: tensor.begin, end: tensor.end, expectedBegin: end)
      }
      end = tensor.end
      try tensor.validateSize()
      positions[ExactString(tensor.name)] = tensors.count
      tensors.append(
        TensorInfo(
          name: tensor.name, dtype: tensor.dtype, shape: tensor.shape,
          offsets: Int(clamping: tensor.begin)..<Int(clamping: tensor.end)))
    }
    let (fileEnd, overflow) = end.addingReportingOverflow(UInt64(bodyStart))
    guard !overflow, fileEnd == UInt64(fileSize) else {
      throw .incompleteCoverage(end: overflow ? .max : fileEnd, fileSize: fileSize)
    }
    self.tensors = tensors
    self.positions = positions
    self.metadataEntries = raw.metadata
    self.bodyStart = bodyStart
  }
}
