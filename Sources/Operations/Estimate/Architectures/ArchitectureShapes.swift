/// A family of models: how the shapes of its weights follow from `config.json`.
///
/// Modules are named as in the checkpoints that transformers writes, in the order in which the model
/// registers them.
protocol ArchitectureShapes: Sendable {
  /// Values of `model_type`.
  static var modelTypes: [String] { get }
  /// Whether a configuration without `model_type` is of this family.
  static func recognizes(_ config: ArchitectureConfig) -> Bool
  static func shapes(_ config: ArchitectureConfig) throws(EstimateError) -> ModelShapes
}

extension ArchitectureShapes {
  static func recognizes(_ config: ArchitectureConfig) -> Bool { false }
}

/// The families whose shapes are known without weights, one line each.
enum Architectures {
  static let all: [any ArchitectureShapes.Type] = [
    LlamaShapes.self,
    MixtralShapes.self,
    GPT2Shapes.self,
    BertShapes.self,
    ViTShapes.self,
    DINOv2Shapes.self,
    DepthAnythingShapes.self,
    T5Shapes.self,
    DiTShapes.self,
  ]

  static var modelTypes: [String] { all.flatMap { $0.modelTypes } }

  /// The family of a configuration; nil when it is none of these.
  static func family(of config: ArchitectureConfig) -> (any ArchitectureShapes.Type)? {
    guard let type = config.modelType else { return all.first { $0.recognizes(config) } }
    return all.first { $0.modelTypes.contains(type) }
  }

  static func shapes(_ config: ArchitectureConfig) throws(EstimateError) -> ModelShapes {
    guard let family = family(of: config) else {
      throw .unknownArchitecture(
        path: config.path, modelType: config.modelType, known: modelTypes)
    }
    return try family.shapes(config)
  }
}
