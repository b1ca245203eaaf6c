import Adapters
import Kernels
import Safetensors

/// Which tensors of a tuned model differ from its base, and how they are to be stored: decided with one
/// pair of tensors in memory at a time.
struct ModelDifference {
  /// A matrix that a module of the adapter explains.
  struct Matrix {
    let layer: LayerGeometry
    let base: BaseModel.Tensor
    let tuned: BaseModel.Tensor
  }

  /// A tensor that the adapter stores whole.
  struct Whole {
    let tensor: BaseModel.Tensor
    /// Its name in the adapter.
    let name: String
  }

  let base: BaseModel
  let tuned: BaseModel
  /// In natural order.
  private(set) var matrices: [Matrix] = []
  private(set) var whole: [Whole] = []
  private(set) var unchanged = 0
  /// PEFT's `bias`: `none`, `lora_only` or `all`.
  private(set) var bias = "none"
  private(set) var modulesToSave: [String] = []

  /// A table that is stored whole and is also the output head: PEFT changes both uses only when told
  /// to tie them, and then reads both.
  var sharedTable: BaseModel.Tensor? {
    guard base.tiesEmbeddings, hasLanguageHead,
      !whole.contains(where: { Architecture.isHead(module: $0.tensor.module) })
    else { return nil }
    return whole.lazy.map(\.tensor).first {
      $0.parameter == "weight" && Architecture.isInputEmbedding(module: $0.module)
    }
  }

  private var hasLanguageHead: Bool {
    guard case .array(let names)? = base.config?["architectures"] else { return false }
    return names.contains { name in
      name.string.map { $0.hasSuffix("ForCausalLM") || $0.hasSuffix("LMHeadModel") } ?? false
    }
  }

  init(base: BaseModel, tuned: BaseModel) throws {
    self.base = base
    self.tuned = tuned
    let missing = base.tensors.map(\.name).filter { !tuned.contains($0) }
    guard missing.isEmpty else {
      throw ExtractError.missing(
        tensors: missing.sorted(by: NaturalOrder.precedes), tuned: tuned.checkpoint.path)
    }
    var others: [BaseModel.Tensor] = []
    for tensor in tuned.tensors.sorted(by: { NaturalOrder.precedes($0.name, $1.name) }) {
      guard let original = base.tensor(tensor.name) else {
        others.append(tensor)
        continue
      }
      if try Self.isSame(original, tensor, base: base, tuned: tuned) {
        unchanged += 1
      } else if original.shape == tensor.shape, ElementType(tensor.dtype) != nil,
        let layer = base.layer(of: original), layer.kind != .embedding,
        !Architecture.isHead(module: layer.module)
      {
        matrices.append(Matrix(layer: layer, base: original, tuned: tensor))
      } else {
        others.append(tensor)
      }
    }
    store(others)
    guard !matrices.isEmpty || !whole.isEmpty else {
      throw ExtractError.identical(base: base.checkpoint.path, tuned: tuned.checkpoint.path)
    }
  }

  private static func isSame(
    _ a: BaseModel.Tensor, _ b: BaseModel.Tensor, base: BaseModel, tuned: BaseModel
  ) throws -> Bool {
    guard a.shape == b.shape else { return false }
    let (x, y) = (try base.bytes(a), try tuned.bytes(b))
    if a.dtype == b.dtype { return x == y }
    // The same numbers in another type are the same.
    guard let from = ElementType(a.dtype), let to = ElementType(b.dtype) else { return false }
    return from.widened(x) == to.widened(y)
  }

  /// Biases of linear layers as PEFT's `bias` stores them, everything else as whole modules: norms,
  /// embeddings, heads and bare parameters.
  private mutating func store(_ others: [BaseModel.Tensor]) {
    let adapted = Set(matrices.map(\.layer.module))
    // Beside a weight that is stored whole, its bias is too.
    let whole = Set(others.filter { $0.parameter != "bias" }.map(\.module))
    var saved: Set<String> = []
    for tensor in others {
      let module = tensor.module
      let weight = base.tensor(module + ".weight").flatMap(base.layer)
      if tensor.parameter == "bias", let weight, weight.kind != .embedding, !whole.contains(module)
      {
        let isAdapted = adapted.contains(module)
        bias = isAdapted && bias != "all" ? "lora_only" : "all"
        self.whole.append(
          Whole(
            tensor: tensor,
            name: adapterPrefix + module + (isAdapted ? ".base_layer.bias" : ".bias")))
      } else if saved.insert(module).inserted {
        if !module.isEmpty { modulesToSave.append(module) }
        for part in tuned.tensors where part.module == module {
          self.whole.append(Whole(tensor: part, name: adapterPrefix + part.name))
        }
      }
    }
  }

  /// W0 and W' of `matrix`, `out × in`.
  func weights(of matrix: Matrix) throws -> (base: [Float], tuned: [Float]) {
    guard let from = ElementType(matrix.base.dtype), let to = ElementType(matrix.tuned.dtype) else {
      throw AdapterError.elementType(tensor: matrix.base.name, dtype: matrix.base.dtype)
    }
    let pair = (
      from.widened(try base.bytes(matrix.base)), to.widened(try tuned.bytes(matrix.tuned))
    )
    guard matrix.layer.storedTransposed else { return pair }
    let (rows, columns) = (matrix.layer.inFeatures, matrix.layer.outFeatures)
    return (
      transpose(pair.0, rows: rows, columns: columns),
      transpose(pair.1, rows: rows, columns: columns)
    )
  }

  /// ΔW of `matrix`.
  func change(of matrix: Matrix) throws -> WeightChange {
    guard let from = ElementType(matrix.base.dtype), let to = ElementType(matrix.tuned.dtype) else {
      throw AdapterError.elementType(tensor: matrix.base.name, dtype: matrix.base.dtype)
    }
    let change = WeightChange(
      base: from.widened(try base.bytes(matrix.base)),
      tuned: to.widened(try tuned.bytes(matrix.tuned)), layer: matrix.layer, element: to)
    guard change.energy.isFinite else { throw ExtractError.notFinite(tensor: matrix.tuned.name) }
    return change
  }
}
