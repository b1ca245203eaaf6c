import Kernels

@testable import Operations

/// The models of the papers' tables. Those that a configuration describes come from `Fixtures`; of the
/// others the tables need a few layers and numbers only.
enum PaperModels {
  /// `n` linear layers `name` of `out × in` each.
  typealias Linear = (name: String, out: Int, input: Int, n: Int)

  /// A model of linear layers without biases.
  static func model(_ linears: [Linear], facts: ArchitectureFacts? = nil) -> ModelShapes {
    var list = LayerList(elementSize: 2)
    for linear in linears {
      for index in 0..<linear.n {
        list.linear("\(index).\(linear.name)", linear.out, linear.input)
      }
    }
    return ModelShapes(layers: list.layers, facts: facts)
  }

  static let gpt3 = model(
    ["q", "k", "v", "o"].map { ($0, 12288, 12288, 96) },
    facts: ArchitectureFacts(
      modelType: "gpt3", width: 12288, attentionLayers: 96, heads: 96, keyValueWidth: 12288,
      tokens: .text(maximum: 2048), blocks: []))
  static let robertaLarge = model([("q", 1024, 1024, 24), ("v", 1024, 1024, 24)])
  static let debertaXXL = model([("q", 1536, 1536, 48), ("v", 1536, 1536, 48)])
  /// Queries and values of the 18 attentions of BART-base.
  static let bartQV = model([("q", 768, 768, 18), ("v", 768, 768, 18)])
}

/// Numbers of VL-BART: BART-base with a visual embedding.
enum VLBart {
  private static let encoderLayer =
    4 * (768 * 768 + 768) + 2 * 768 * 3072 + 3072 + 768 + 2 * 2 * 768
  private static let decoderLayer =
    8 * (768 * 768 + 768) + 2 * 768 * 3072 + 3072 + 768 + 3 * 2 * 768
  static let parameters =
    50265 * 768 + 2 * 1026 * 768 + 2 * 2 * 768 + 6 * (encoderLayer + decoderLayer)
  /// Of attentions, MLPs and norms of the blocks, and of the two norms of the embeddings.
  static let biases =
    6 * (4 * 768 + 3072 + 768 + 2 * 768) + 6 * (8 * 768 + 3072 + 768 + 3 * 768) + 2 * 768
  static let normWeights = (6 * 2 + 6 * 3 + 2) * 768

  static func visualEmbedding(features: Int) -> Int {
    (features * 768 + 768 + 2 * 768) + (5 * 768 + 768 + 2 * 768) + 2 * 768
  }
}

/// Numbers of LLaVA-1.5 beside its LLaMA.
enum LLaVA {
  static let visionTower = 303_507_456
  static let projector = 1024 * 4096 + 4096 + 4096 * 4096 + 4096
}
