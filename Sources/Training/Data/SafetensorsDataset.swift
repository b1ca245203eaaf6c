import Kernels
import Safetensors

/// Examples in a safetensors file, one a row: `input_ids` (N × L) or `pixel_values`
/// (N × channels × height × width), with `attention_mask` (N × L), `token_type_ids` (N × L) and
/// `labels`, N × L for language models and N for classifiers.
///
/// Tokens without labels are their own, where the mask is 1. Rows stay as they are, padding included.
public struct SafetensorsDataset: Dataset {
  public let count: Int
  private let file: SafetensorsFile
  private let ids: TensorInfo?
  private let mask: TensorInfo?
  private let typeIDs: TensorInfo?
  private let labels: TensorInfo?
  private let pixels: TensorInfo?

  /// Opens the file and checks that its tensors fit each other.
  public init(path: String) throws(DataError) {
    do throws(SafetensorsError) {
      file = try SafetensorsFile(path: path)
    } catch {
      throw DataError.safetensors(error)
    }
    let tensors = file.header.tensors
    func tensor(_ name: String) -> TensorInfo? { tensors.first { $0.name == name } }
    ids = tensor("input_ids")
    mask = tensor("attention_mask")
    typeIDs = tensor("token_type_ids")
    labels = tensor("labels")
    pixels = tensor("pixel_values")
    guard let rows = (ids ?? pixels)?.shape.first else {
      throw DataError.tensor(path: path, name: "input_ids", .missing)
    }
    count = rows
    if rows == 0 { throw DataError.empty(path: path) }
    func check(_ tensor: TensorInfo?, _ fits: (_ shape: [Int]) -> Bool) throws(DataError) {
      guard let tensor, !fits(tensor.shape) else { return }
      throw DataError.tensor(path: path, name: tensor.name, .unexpectedShape(tensor.shape))
    }
    try check(ids) { $0.count == 2 && $0[1] > 0 }
    try check(pixels) { $0.count == 4 && $0[0] == rows }
    try check(mask) { $0 == ids?.shape }
    try check(typeIDs) { $0 == ids?.shape }
    try check(labels) { $0 == [rows] || $0 == ids?.shape }
  }

  public func example(at index: Int) throws(DataError) -> Example {
    var example = Example()
    if let ids { example.ids = try integers(of: ids, row: index) }
    if let mask { example.attentionMask = try integers(of: mask, row: index) }
    if let typeIDs { example.typeIDs = try integers(of: typeIDs, row: index) }
    if let pixels {
      example.pixels = try values(of: pixels, row: index)
      example.pixelShape = Array(pixels.shape.dropFirst())
    }
    if let labels {
      let values = try integers(of: labels, row: index)
      if labels.shape.count == 1 {
        example.classLabel = values[0]
      } else {
        example.labels = values
      }
    } else {
      example.labels = example.ids
      for (i, isToken) in example.attentionMask.enumerated() where isToken == 0 {
        example.labels[i] = Example.ignoredLabel
      }
    }
    return example
  }

  private func bytes(of tensor: TensorInfo, row: Int) throws(DataError) -> [UInt8] {
    let size = tensor.byteCount / count
    let start = file.absoluteRange(of: tensor).lowerBound + row * size
    do throws(FileError) {
      return try file.file.read(count: size, at: start)
    } catch {
      throw DataError.file(error)
    }
  }

  private func problem(
    _ tensor: TensorInfo, _ problem: DataError.TensorProblem
  ) -> DataError {
    DataError.tensor(path: file.path, name: tensor.name, problem)
  }

  private func integers(of tensor: TensorInfo, row: Int) throws(DataError) -> [Int32] {
    let isSigned: Bool
    switch tensor.dtype {
    case .i8, .i16, .i32, .i64: isSigned = true
    case .bool, .u8, .u16, .u32, .u64: isSigned = false
    default: throw problem(tensor, .unsupportedType(tensor.dtype))
    }
    let bytes = try bytes(of: tensor, row: row)
    let size = tensor.dtype.bits / 8
    var integers: [Int32] = []
    integers.reserveCapacity(bytes.count / size)
    for start in stride(from: 0, to: bytes.count, by: size) {
      var bits: UInt64 = 0
      for i in 0..<size { bits |= UInt64(bytes[start + i]) << UInt64(8 * i) }
      let shift = UInt64(64 - 8 * size)
      let value =
        isSigned
        ? Int32(exactly: Int64(bitPattern: bits << shift) >> Int64(shift)) : Int32(exactly: bits)
      guard let value else { throw problem(tensor, .valueOutOfRange) }
      integers.append(value)
    }
    return integers
  }

  private func values(of tensor: TensorInfo, row: Int) throws(DataError) -> [Float] {
    let type: ElementType
    switch tensor.dtype {
    case .f32: type = .f32
    case .f16: type = .f16
    case .bf16: type = .bf16
    default: throw problem(tensor, .unsupportedType(tensor.dtype))
    }
    return type.widened(try bytes(of: tensor, row: row))
  }
}
