import Adapters
import Kernels
import Safetensors

/// Which tensors of a tuned model differ from its base, and how they are to be stored: decided with two
/// small pieces of tensors in memory at a time.
struct ModelDifference {
  /// A matrix that a module of the adapter explains.
  struct Matrix {
    /// Under the module's name in the adapter.
    let layer: LayerGeometry
    let base: BaseModel.Tensor
    let tuned: BaseModel.Tensor
  }

  /// A bare parameter of a module of experts: a stack of matrices, or one matrix (the experts' biases).
  struct Parameter {
    /// The module and the parameter, as they are called in memory.
    let module: String
    let name: String
    let base: BaseModel.Tensor
    let tuned: BaseModel.Tensor
    /// Of every matrix of the stack.
    let layer: LayerGeometry

    var path: String { module + "." + name }
    var isStack: Bool { base.shape.count == 3 }
    var experts: Int { isStack ? base.shape[0] : 1 }
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
  private(set) var parameters: [Parameter] = []
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
        let parameter = parameter(original, tensor)
      {
        parameters.append(parameter)
      } else if original.shape == tensor.shape, ElementType(tensor.dtype) != nil,
        var layer = base.layer(of: original), layer.kind != .embedding,
        !Architecture.isHead(module: layer.module), !isRouter(layer.module)
      {
        layer.module = adapterName(layer.module)
        matrices.append(Matrix(layer: layer, base: original, tuned: tensor))
      } else {
        others.append(tensor)
      }
    }
    store(others)
    guard !matrices.isEmpty || !parameters.isEmpty || !whole.isEmpty else {
      throw ExtractError.identical(base: base.checkpoint.path, tuned: tuned.checkpoint.path)
    }
  }

  /// What adapters call the base's `name`: its name in memory. Experts that a checkpoint stores one by
  /// one keep their names, for no module has them in memory; loaders turn their factors into those of
  /// the stack.
  private func adapterName(_ name: String) -> String {
    let segments = name.split(separator: ".")
    let isNumbered = zip(segments, segments.dropFirst()).contains {
      $0 == "experts" && Int($1) != nil
    }
    return isNumbered ? name : base.nameInMemory(name)
  }

  /// Whether `module` chooses among the experts beside it: a module of a class of its own, which LoRA
  /// does not know.
  private func isRouter(_ module: String) -> Bool {
    let segments = module.split(separator: ".")
    guard let last = segments.last, ["gate", "router", "wg"].contains(last) else { return false }
    let experts = segments.dropLast().joined(separator: ".") + ".experts."
    return base.tensors.contains { $0.name.hasPrefix(experts) }
  }

  /// The parameter of a module of experts that `original` is; nil for what is none.
  private func parameter(
    _ original: BaseModel.Tensor, _ tensor: BaseModel.Tensor
  ) -> Parameter? {
    if let (module, name) = base.expertStack(original) {
      let layer = LayerGeometry(
        module: module + "." + name, kind: .linear, shape: Array(original.shape.dropFirst()),
        storedTransposed: base.storesExpertsTransposed(original))
      return Parameter(module: module, name: name, base: original, tuned: tensor, layer: layer)
    }
    // Matrices beside a stack, which its module could not be saved without.
    guard original.shape.count == 2, original.module.hasSuffix("experts") else { return nil }
    let stack = base.tensors.lazy.filter { $0.module == original.module }
      .compactMap { base.expertStack($0) }.first
    return stack.map { stack in
      let path = stack.module + "." + original.parameter
      return Parameter(
        module: stack.module, name: original.parameter, base: original, tuned: tensor,
        layer: LayerGeometry(module: path, kind: .linear, shape: original.shape))
    }
  }

  private static func isSame(
    _ a: BaseModel.Tensor, _ b: BaseModel.Tensor, base: BaseModel, tuned: BaseModel
  ) throws -> Bool {
    guard a.shape == b.shape else { return false }
    let count = a.shape.reduce(1, *)
    let types = (ElementType(a.dtype), ElementType(b.dtype))
    for start in stride(from: 0, to: count, by: 1 << 20) {
      let piece = start..<min(start + 1 << 20, count)
      let (x, y) = (try base.bytes(a, elements: piece), try tuned.bytes(b, elements: piece))
      if a.dtype == b.dtype {
        guard x == y else { return false }
      } else if let from = types.0, let to = types.1 {
        // The same numbers in another type are the same.
        guard from.widened(x) == to.widened(y) else { return false }
      } else {
        return false
      }
    }
    return true
  }

  /// Biases of linear layers as PEFT's `bias` stores them, everything else as whole modules: norms,
  /// embeddings, heads and bare parameters.
  private mutating func store(_ others: [BaseModel.Tensor]) {
    let adapted = Set(matrices.map(\.base.module))
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
            name: adapterPrefix + adapterName(module)
              + (isAdapted ? ".base_layer.bias" : ".bias")))
      } else if saved.insert(module).inserted {
        if !module.isEmpty { modulesToSave.append(adapterName(module)) }
        for part in tuned.tensors where part.module == module {
          self.whole.append(Whole(tensor: part, name: adapterPrefix + adapterName(part.name)))
        }
      }
    }
  }

  /// W0 and W' of `matrix`, `out × in`.
  func weights(of matrix: Matrix) throws -> (base: [Float], tuned: [Float]) {
    let pair = try values(matrix.base, matrix.tuned)
    guard matrix.layer.storedTransposed else { return (pair.base, pair.tuned) }
    let (rows, columns) = (matrix.layer.inFeatures, matrix.layer.outFeatures)
    return (
      transpose(pair.base, rows: rows, columns: columns),
      transpose(pair.tuned, rows: rows, columns: columns)
    )
  }

  /// ΔW of `matrix`.
  func change(of matrix: Matrix) throws -> WeightChange {
    let pair = try values(matrix.base, matrix.tuned)
    return try change(pair, matrix.layer, tensor: matrix.tuned.name)
  }

  /// ΔW of the matrix that `parameter` has for `expert`.
  func change(of parameter: Parameter, expert: Int) throws -> WeightChange {
    let size = parameter.layer.shape.reduce(1, *)
    let pair = try values(
      parameter.base, parameter.tuned, elements: expert * size..<(expert + 1) * size)
    return try change(pair, parameter.layer, tensor: parameter.tuned.name)
  }

  private func change(
    _ pair: (base: [Float], tuned: [Float], element: ElementType), _ layer: LayerGeometry,
    tensor: String
  ) throws -> WeightChange {
    let change = WeightChange(
      base: pair.base, tuned: pair.tuned, layer: layer, element: pair.element)
    guard change.energy.isFinite else { throw ExtractError.notFinite(tensor: tensor) }
    return change
  }

  /// Elements of both tensors as they are stored, all of them or `elements`, and the tuned ones' type.
  private func values(
    _ original: BaseModel.Tensor, _ tensor: BaseModel.Tensor, elements: Range<Int>? = nil
  ) throws -> (base: [Float], tuned: [Float], element: ElementType) {
    guard let from = ElementType(original.dtype), let to = ElementType(tensor.dtype) else {
      throw AdapterError.elementType(tensor: original.name, dtype: original.dtype)
    }
    let elements = elements ?? 0..<original.shape.reduce(1, *)
    return (
      from.widened(try base.bytes(original, elements: elements)),
      to.widened(try tuned.bytes(tensor, elements: elements)), to
    )
  }
}

extension BaseModel {
  /// The bytes of `elements` of `tensor`.
  fileprivate func bytes(_ tensor: Tensor, elements: Range<Int>) throws -> [UInt8] {
    let bits = tensor.dtype.bits
    let range = elements.lowerBound * bits / 8..<elements.upperBound * bits / 8
    let source = source(tensor)
    return try source.file.read(count: range.count, at: source.offset + range.lowerBound)
  }
}
