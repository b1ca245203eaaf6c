import Kernels
import Safetensors

/// `config.json`, read with an eye on what sizes can be.
struct ArchitectureConfig {
  /// Sizes of dimensions. The product of two, over all layers, fits in 64 bits.
  static let dimensions = 1...(1 << 22)
  static let layers = 1...4096

  let path: String
  let json: JSONValue

  init(path: String) throws(EstimateError) {
    self.path = path
    let bytes: [UInt8]
    do throws(FileError) {
      bytes = try InputFile(path: path).readAll(limit: 1 << 24)
    } catch { throw .file(error) }
    do throws(JSONError) {
      json = try JSONValue.parse(bytes, allowsNonFinite: true)
    } catch { throw .configNotJSON(path: path, error) }
  }

  init(path: String, json: JSONValue) {
    self.path = path
    self.json = json
  }

  var modelType: String? { json["model_type"]?.string }
  /// The class that the model was saved from.
  var modelClass: String { json["architectures"]?.array?.first?.string ?? "" }

  func has(_ field: String) -> Bool { json[field].map { !$0.isNull } ?? false }

  /// A size; `fallback` where the field is absent or null.
  func size(
    _ field: String, default fallback: Int? = nil, in range: ClosedRange<Int> = dimensions
  ) throws(EstimateError) -> Int {
    guard let value = json[field], !value.isNull else {
      guard let fallback else { throw .configField(path: path, field: field, found: nil) }
      return fallback
    }
    guard let size = value.int, range.contains(size) else { throw invalid(field) }
    return size
  }

  /// A product of sizes, itself a size: the fault of `field` where it is not.
  func size(_ field: String, product a: Int, _ b: Int) throws(EstimateError) -> Int {
    let (product, overflow) = a.multipliedReportingOverflow(by: b)
    guard !overflow, Self.dimensions.contains(product) else { throw invalid(field) }
    return product
  }

  /// `width` times the field, rounded down.
  func size(_ field: String, ratioOf width: Int) throws(EstimateError) -> Int {
    let size = Double(width) * (try real(field, default: 4))
    guard Self.dimensions.contains(Int(size)) else { throw invalid(field) }
    return Int(size)
  }

  func flag(_ field: String, default fallback: Bool) throws(EstimateError) -> Bool {
    guard let value = json[field], !value.isNull else { return fallback }
    guard let flag = value.bool else { throw invalid(field) }
    return flag
  }

  func real(_ field: String, default fallback: Double) throws(EstimateError) -> Double {
    guard let value = json[field], !value.isNull else { return fallback }
    guard let number = value.double, number > 0, number < 1024 else { throw invalid(field) }
    return number
  }

  /// Classes that a classification head tells apart: `num_labels`, or as many as `id2label` has;
  /// transformers' default is 2.
  func labels() throws(EstimateError) -> Int {
    if let labels = json["id2label"]?.object, !labels.isEmpty { return labels.count }
    return try size("num_labels", default: 2)
  }

  /// Bytes of an element as saved: `dtype`, in older files `torch_dtype`; transformers' default is f32.
  func elementSize() throws(EstimateError) -> Int {
    guard let field = ["dtype", "torch_dtype"].first(where: has) else { return 4 }
    switch json[field]?.string {
    case "float32"?, "auto"?: return 4
    case "float16"?, "bfloat16"?: return 2
    case "float64"?: return 8
    case "float8_e4m3fn"?, "float8_e5m2"?: return 1
    default: throw invalid(field)
    }
  }

  func invalid(_ field: String) -> EstimateError {
    var found: String?
    switch json[field] {
    case .number(let number)?: found = number.lexeme
    case .string(let text)?: found = text
    case .bool(let flag)?: found = String(flag)
    case .array(let values)?: found = values.first?.string ?? "[…]"
    case .object?: found = "{…}"
    case .null?, nil: break
    }
    return .configField(path: path, field: field, found: found)
  }
}
