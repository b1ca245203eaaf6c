import Kernels

@testable import Operations

/// Slides on MoRA and SBoRA.
struct SBoRATables {
  let figures: [PaperFigure]

  init() throws {
    figures = try Self.mora() + Self.commonsense() + Self.quantized()
  }

  private static func mora() throws -> [PaperFigure] {
    let t = "slides: MoRA"
    let layer = PaperBase(PaperModels.model([("w", 4096, 4096, 1)]))
    return [
      PaperFigure(t, "4096x4096 full", "16,777,216", try layer.count("full")),
      PaperFigure(t, "LoRA r=8", "65,536", try layer.count("lora", rank: 8)),
      PaperFigure(t, "MoRA r=8", "65,536", try layer.count("mora1", rank: 8)),
    ]
  }

  private static let methods = ["lora", "dora", "sbora-fa", "sbora-fb"]

  private static func commonsense() throws -> [PaperFigure] {
    let targets = TargetSelection.names(["q_proj", "k_proj", "v_proj", "up_proj", "down_proj"])
    let tables: [(String, String, Int, [String])] = [
      ("LLaMA-7B", "llama2-7b", 32, ["56.1M", "57.0M", "28.0M", "28.0M"]),
      ("LLaMA-7B", "llama2-7b", 64, ["112.2M", "113.1M", "56.1M", "56.1M"]),
      ("LLaMA3-8B", "llama3-8b", 32, ["56.6M", "57.4M", "25.2M", "31.5M"]),
      ("LLaMA3-8B", "llama3-8b", 64, ["113.2M", "114.0M", "50.3M", "62.9M"]),
    ]
    var figures: [PaperFigure] = []
    for (name, model, rank, printed) in tables {
      let base = try PaperBase(model, targets)
      for (method, printed) in zip(methods, printed) {
        figures.append(
          PaperFigure(
            "slides: SBoRA", "\(name) \(method) r=\(rank)", printed,
            try base.count(method, rank: rank)))
      }
    }
    return figures
  }

  /// The script behind the table halves what it counts when the base has 4 bits.
  private static func quantized() throws -> [PaperFigure] {
    let tables: [(String, String, [String])] = [
      ("LLaMA-7B", "llama2-7b", ["80.0M", "80.6M", "43.5M", "36.4M"]),
      ("LLaMA-13B", "llama2-13b", ["125.2M", "126.2M", "68.2M", "57.0M"]),
      ("LLaMA3-8B", "llama3-8b", ["83.9M", "84.6M", "44.0M", "39.8M"]),
    ]
    var figures: [PaperFigure] = []
    for (name, model, printed) in tables {
      let base = try PaperBase(model)
      for (method, printed) in zip(methods, printed) {
        figures.append(
          PaperFigure(
            "slides: QSBoRA MMLU", "\(name) \(method)", printed,
            try base.count(method, rank: 64) / 2, assuming: "halved"))
      }
    }
    return figures
  }
}
