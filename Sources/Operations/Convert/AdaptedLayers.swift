import Adapters
import Safetensors

/// The layers that an adapter sits on, as far as they can be known: none without its base.
struct AdaptedLayers {
  let loader: AdapterLoader?
  /// By the module's path in the adapter.
  let bound: [String: BoundModule]
  private let base: BaseModel?

  init(_ contents: AdapterContents, base path: String?) throws {
    guard let path else {
      (loader, bound, base) = (nil, [:], nil)
      return
    }
    let model = try BaseModel(path: path)
    let binding = try Self.binding(contents, to: model, path: path)
    loader = AdapterLoader(binding)
    bound = Dictionary(binding.modules.map { ($0.module.path, $0) }) { first, _ in first }
    base = model
  }

  private static func binding(
    _ contents: AdapterContents, to base: BaseModel, path: String
  ) throws -> AdapterBinding {
    do {
      // Layers that PEFT replicates are not in the base.
      let replication = contents.file.config.json["layer_replication"]?.array
      return try contents.bind(to: base, allowUnused: replication?.isEmpty == false)
    } catch let error as AdapterError {
      guard case .unmatched(let adapter, let modules, _) = error else { throw error }
      throw ConversionError.otherBase(path: adapter, base: path, tensor: modules.first?.tensor)
    }
  }

  /// The names of copies of embeddings in `file` that have the base's bytes.
  func copies(in file: AdapterFile) throws -> Set<String> {
    guard let base, let replacements = loader?.binding.replacements else { return [] }
    var names: Set<String> = []
    for bound in replacements where bound.replacement.wrapped {
      let own = bound.replacement.tensor
      guard let tensor = bound.base, tensor.dtype == own.dtype, tensor.shape == own.shape else {
        continue
      }
      let shard = base.checkpoint.shards[tensor.shard]
      let isEqual = try Self.haveEqualBytes(
        (file.weights.file, file.weights.absoluteRange(of: own)),
        (shard.file, shard.absoluteRange(of: tensor.info)))
      if isEqual { names.insert(own.name) }
    }
    return names
  }

  private static let chunk = 4 << 20

  private static func haveEqualBytes(
    _ a: (file: InputFile, range: Range<Int>), _ b: (file: InputFile, range: Range<Int>)
  ) throws -> Bool {
    guard a.range.count == b.range.count else { return false }
    for start in stride(from: 0, to: a.range.count, by: chunk) {
      let count = min(chunk, a.range.count - start)
      let first = try a.file.read(count: count, at: a.range.lowerBound + start)
      let second = try b.file.read(count: count, at: b.range.lowerBound + start)
      if first != second { return false }
    }
    return true
  }
}
