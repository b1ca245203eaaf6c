/// Trainable tokens: rows of an embedding are replaced. The rows are stored, their numbers stand in the
/// configuration; also beside LoRA (`trainable_token_indices`).
///
/// Source: PEFT. Despite the tensor's name the rows are not differences.
public struct TrainableTokens: AdapterMethod {
  public static let descriptor = MethodDescriptor(
    title: "Trainable tokens", names: ["tokens"], peftTypes: ["TRAINABLE_TOKENS"],
    source: "PEFT, trainable tokens",
    leaves: ["trainable_tokens_delta"],
    ignoredLeaves: ["trainable_tokens_original"],
    settings: ["token_indices", "trainable_token_indices"], trainingSettings: ["init_weights"])

  private let layer: LayerGeometry
  private let tokens: [Int]
  private let rows: [Float]

  public static func claims(_ shapes: [String: [Int]], settings: MethodSettings) -> Bool {
    descriptor.leaves.contains { shapes[$0] != nil }
  }

  private static func leaf(_ shapes: [String: [Int]]) -> String {
    descriptor.leaves.first { shapes[$0] != nil } ?? descriptor.leaves[0]
  }

  public static func examine(
    _ shapes: [String: [Int]], settings: MethodSettings, layer: LayerGeometry?
  ) throws(MethodError) -> ModuleSummary {
    let leaf = leaf(shapes)
    let shape = try shapes.required(leaf, dimensions: 2)
    if let layer {
      let tokens = try tokens(settings, module: layer.module)
      try shapes.expect(leaf, [tokens.count, layer.inFeatures])
      for token in tokens where !(0..<layer.outFeatures).contains(token) {
        throw .setting(
          name: "token_indices", reason: "\(token) is not one of \(layer.outFeatures) tokens")
      }
    }
    return ModuleSummary(trainableParameters: shape[0] * shape[1])
  }

  /// The token numbers of `module`: one list for all, or a list by the end of the module's name.
  private static func tokens(
    _ settings: MethodSettings, module: String
  ) throws(MethodError) -> [Int] {
    let name = settings["token_indices"] == nil ? "trainable_token_indices" : "token_indices"
    var value = settings[name]
    if case .table(let lists)? = value {
      value = lists.first { module == $0.key || module.hasSuffix("." + $0.key) }?.value
    }
    guard case .list(let items)? = value else {
      throw .setting(name: name, reason: "does not list the tokens of \(module)")
    }
    var result: [Int] = []
    for item in items {
      guard case .integer(let token) = item else {
        throw .setting(name: name, reason: "must be integers")
      }
      result.append(token)
    }
    return result
  }

  public init(_ module: AdapterModule) throws(MethodError) {
    _ = try Self.examine(module.shapes, settings: module.settings, layer: module.layer)
    layer = module.layer
    tokens = try Self.tokens(module.settings, module: module.layer.module)
    rows = try module.tensor(Self.leaf(module.shapes)).reals
  }

  public func weightUpdate() -> (any WeightUpdate)? {
    RowReplacement(
      rows: layer.outFeatures, columns: layer.inFeatures,
      places: Dictionary(zip(tokens, 0...), uniquingKeysWith: { $1 }), values: rows)
  }
}

private struct RowReplacement: RowwiseTransform {
  let rows: Int
  let columns: Int
  /// Row of the matrix → row of `values`.
  let places: [Int: Int]
  let values: [Float]

  func transform(
    row: Int, _ values: UnsafeMutableBufferPointer<Float>,
    base: UnsafeMutableBufferPointer<Float>, scratch: UnsafeMutableBufferPointer<Float>
  ) {
    guard let place = places[row] else { return }
    self.values.withUnsafeBufferPointer {
      _ = values.update(from: $0.row(place, columns: columns))
    }
  }
}
