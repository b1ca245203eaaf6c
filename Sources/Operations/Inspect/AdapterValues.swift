import Adapters
import Kernels
import Safetensors

/// What an adapter's bytes show, tensor by tensor.
struct AdapterValues {
  /// Checksums that are wrong, and elements that are no numbers.
  private(set) var problems: [AdapterProblem] = []
  /// Modules whose `lora_B` is zero throughout.
  private(set) var idleModules: [String] = []

  /// Bytes read at once, a multiple of every element's size.
  private static let chunk = 4 << 20

  init(_ contents: AdapterContents) throws {
    let file = contents.file
    var zeros: Set<String> = []
    for tensor in file.weights.header.tensors {
      if let stated = file.container?.checksums[tensor.name] {
        let found = try CRC32.of(file.weights.file, range: file.weights.absoluteRange(of: tensor))
        if found != stated {
          problems.append(.checksum(tensor: tensor.name, stated: stated, found: found))
        }
      }
      guard let element = ElementType(tensor.dtype) else { continue }
      let scan = try Self.scan(tensor, element, in: file.weights)
      if let index = scan.notFinite {
        problems.append(.notFinite(tensor: tensor.name, index: index))
      }
      if scan.isZero, tensor.byteCount > 0 { zeros.insert(tensor.name) }
    }
    idleModules = contents.modules.filter { module in
      ["lora_B.weight", "lora_embedding_B"].contains { leaf in
        module.tensors[leaf].map { zeros.contains($0.name) } ?? false
      }
    }.map(\.path)
  }

  /// The first element that is no number, and whether all are zero, of either sign.
  private static func scan(
    _ tensor: TensorInfo, _ element: ElementType, in file: SafetensorsFile
  ) throws -> (notFinite: Int?, isZero: Bool) {
    let range = file.absoluteRange(of: tensor)
    var isZero = true
    for start in stride(from: 0, to: range.count, by: chunk) {
      let bytes = try file.file.read(
        count: min(chunk, range.count - start), at: range.lowerBound + start)
      if let index = bytes.withUnsafeBytes({ element.firstNonFinite(in: $0) }) {
        return (start / element.size + index, false)
      }
      isZero = isZero && element.widened(bytes).allSatisfy { $0 == 0 }
    }
    return (nil, isZero)
  }
}
