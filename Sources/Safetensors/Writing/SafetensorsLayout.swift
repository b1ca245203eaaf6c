/// Where everything goes in a safetensors file that is yet to be written.
///
/// The same tensors and metadata give the same bytes, in whatever order they are passed. With the
/// default alignment and at most one metadata key they are the reference writer's bytes; it stores
/// several keys in random order, this sorts them.
public struct SafetensorsLayout: Sendable {
  /// The order of the tensors in the file.
  public enum Order: Sendable {
    /// By type, widest first, then by name: the reference's order.
    case canonical
    /// As passed, for instance as in another file.
    case given
  }

  /// In storage order.
  public let tensors: [TensorInfo]
  /// All that comes before the tensors' bytes: the header's length, the header, its padding.
  public let leadingBytes: [UInt8]
  public let bodySize: Int
  private let positions: [ExactString: Int]

  /// Where the tensors' bytes begin in the file.
  public var bodyStart: Int { leadingBytes.count }
  public var fileSize: Int { bodyStart + bodySize }

  /// - Parameters:
  ///   - metadata: nil for none; the keys are sorted here.
  ///   - dataAlignment: the body starts at a multiple of this many bytes, itself a multiple of 8.
  public init(
    tensors: [(name: String, dtype: DType, shape: [Int])],
    metadata: [(key: String, value: String)]? = nil, dataAlignment: Int = 8,
    order: Order = .canonical
  ) throws(SafetensorsError) {
    precondition(dataAlignment > 0 && dataAlignment % 8 == 0, "alignment is a multiple of 8")
    var sorted = tensors
    if order == .canonical {
      sorted.sort { a, b in
        a.dtype.rank == b.dtype.rank
          ? a.name.precedesByUTF8(b.name) : a.dtype.rank > b.dtype.rank
      }
    }
    var infos: [TensorInfo] = []
    infos.reserveCapacity(sorted.count)
    var positions: [ExactString: Int] = [:]
    positions.reserveCapacity(sorted.count)
    var end = 0
    for (name, dtype, shape) in sorted {
      guard name != SafetensorsHeader.metadataKey else { throw .reservedName(name) }
      let byteCount: Int
      do throws(DType.SizeError) {
        byteCount = try dtype.byteCount(of: shape)
      } catch { throw error.about(name, dtype, shape) }
      let (next, overflow) = end.addingReportingOverflow(byteCount)
      // Room is left for the header, so that `fileSize` cannot overflow either.
      guard !overflow, next <= Int.max - 2 * SafetensorsHeader.maximumSize else {
        throw .sizeOverflow(tensor: name, dtype: dtype, shape: shape)
      }
      guard positions.updateValue(infos.count, forKey: ExactString(name)) == nil else {
        throw .duplicateTensor(name)
      }
      infos.append(TensorInfo(name: name, dtype: dtype, shape: shape, offsets: end..<next))
      end = next
    }
    self.tensors = infos
    self.positions = positions
    bodySize = end
    leadingBytes = try Self.leadingBytes(
      try Self.headerText(infos, metadata: metadata), alignment: dataAlignment)
  }

  /// The layout of a file that there was: with its tensors in their places.
  ///
  /// - Parameters:
  ///   - header: the file's header.
  ///   - leadingBytes: all that came before the tensors' bytes.
  public init(header: SafetensorsHeader, leadingBytes: [UInt8]) {
    precondition(leadingBytes.count == header.bodyStart)
    tensors = header.tensors
    self.leadingBytes = leadingBytes
    bodySize = header.tensors.last?.offsets.upperBound ?? 0
    positions = Dictionary(
      uniqueKeysWithValues: header.tensors.enumerated().map { (ExactString($1.name), $0) })
  }

  /// The tensor `name`; nil when there is none.
  public subscript(name: String) -> TensorInfo? {
    positions[ExactString(name)].map { tensors[$0] }
  }

  /// Where the bytes of `tensor`, one of `tensors`, go in the file.
  public func absoluteRange(of tensor: TensorInfo) -> Range<Int> {
    bodyStart + tensor.offsets.lowerBound..<bodyStart + tensor.offsets.upperBound
  }

  private static func headerText(
    _ tensors: [TensorInfo], metadata: [(key: String, value: String)]?
  ) throws(SafetensorsError) -> [UInt8] {
    var writer = JSONWriter(style: .compact, sortKeys: false, asciiOnly: false)
    writer.write("{")
    if let metadata {
      let sorted = metadata.sorted { $0.key.precedesByUTF8($1.key) }
      for (a, b) in zip(sorted, sorted.dropFirst()) where !a.key.precedesByUTF8(b.key) {
        throw .duplicateMetadataKey(a.key)
      }
      let entries = sorted.map { JSONObject.Entry(key: $0.key, value: .string($0.value)) }
      writer.writeString(SafetensorsHeader.metadataKey)
      writer.write(":")
      writer.write(.object(JSONObject(entries)), level: 1)
    }
    for (i, tensor) in tensors.enumerated() {
      if i > 0 || metadata != nil { writer.write(",") }
      writer.writeString(tensor.name)
      let shape = tensor.shape.map(String.init).joined(separator: ",")
      writer.write(":{\"dtype\":\"\(tensor.dtype.rawValue)\",\"shape\":[\(shape)]")
      let offsets = tensor.offsets
      writer.write(",\"data_offsets\":[\(offsets.lowerBound),\(offsets.upperBound)]}")
    }
    writer.write("}")
    return writer.bytes
  }

  /// The length of `header`, the header and spaces up to the next multiple of `alignment`.
  static func leadingBytes(
    _ header: [UInt8], alignment: Int
  ) throws(SafetensorsError) -> [UInt8] {
    let prefix = SafetensorsHeader.prefixSize
    let bodyStart = (prefix + header.count + alignment - 1) / alignment * alignment
    let size = UInt64(bodyStart - prefix)
    guard size <= UInt64(SafetensorsHeader.maximumSize) else {
      throw .headerTooLarge(headerSize: size, limit: SafetensorsHeader.maximumSize)
    }
    var bytes = (0..<prefix).map { UInt8(truncatingIfNeeded: size >> (8 * UInt64($0))) }
    bytes.reserveCapacity(bodyStart)
    bytes.append(contentsOf: header)
    bytes.append(contentsOf: repeatElement(UInt8(ascii: " "), count: bodyStart - bytes.count))
    return bytes
  }
}
