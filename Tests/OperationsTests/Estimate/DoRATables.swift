import Kernels

@testable import Operations

/// Tables 1 to 4 of the slides on DoRA: trained parameters in per cent of base and adapter.
struct DoRATables {
  let figures: [PaperFigure]

  init() throws {
    figures = try Self.commonsense() + Self.granularity() + Self.multimodal()
  }

  private static func percent(_ trained: Int, of base: Int) -> Double {
    100 * Double(trained) / Double(base + trained)
  }

  private static func commonsense() throws -> [PaperFigure] {
    let t = "slides: DoRA table 1"
    let targets = TargetSelection.names(["q_proj", "k_proj", "v_proj", "up_proj", "down_proj"])
    let small = try PaperBase("llama2-7b", targets)
    let large = try PaperBase("llama2-13b", targets)
    var figures: [PaperFigure] = []
    for (name, base, lora, half, dora) in [
      ("LLaMA-7B", small, "0.83", "0.43", "0.84"), ("LLaMA-13B", large, "0.67", "0.35", "0.68"),
      ("LLaMA2-7B", small, "0.83", "0.43", "0.84"),
      ("LLaMA3-8B", try PaperBase("llama3-8b", targets), "0.70", "0.35", "0.71"),
    ] {
      let total = base.parameters
      // The last model's figure is that of LoRA with the same rank.
      let verdict: PaperFigure.Verdict = name == "LLaMA3-8B" ? .discrepancy : .exact
      figures += [
        PaperFigure(
          t, "\(name) LoRA r=32", lora, percent(try base.count("lora", rank: 32), of: total)),
        PaperFigure(
          t, "\(name) DoRA r=16", half, percent(try base.count("dora", rank: 16), of: total),
          verdict),
        PaperFigure(
          t, "\(name) DoRA r=32", dora, percent(try base.count("dora", rank: 32), of: total)),
      ]
    }
    // Bottlenecks of 256 without biases: behind down, or beside up and down.
    func series(_ base: PaperBase) throws -> Double {
      let layers = base.shapes.layers.count { $0.module.hasSuffix("down_proj") }
      let width = base.shapes.facts?.width ?? 0
      let biases = layers * (256 + width)
      return percent(
        try base.count("bottleneck", rank: 256, on: ["down_proj"]) - biases, of: base.parameters)
    }
    func parallel(_ base: PaperBase) throws -> Double {
      let layers = try TargetSelection.names(["up_proj", "down_proj"])
        .select(from: base.shapes.layers, kinds: [.linear])
      let biases = layers.reduce(0) { $0 + 256 + $1.geometry.outFeatures }
      return percent(
        try base.count("parallel", rank: 256, on: ["up_proj", "down_proj"]) - biases,
        of: base.parameters)
    }
    func prefix(_ base: PaperBase, tokens: Int) throws -> Double {
      let count = try EstimateRequest(method: "prefix", rank: tokens).report(base.shapes)
      return percent(count.trainableParameters, of: base.parameters)
    }
    return figures + [
      PaperFigure(t, "LLaMA-7B series", "0.99", try series(small)),
      PaperFigure(t, "LLaMA-13B series", "0.80", try series(large)),
      PaperFigure(t, "LLaMA-7B parallel", "3.54", try parallel(small)),
      PaperFigure(t, "LLaMA-13B parallel", "2.89", try parallel(large)),
      PaperFigure(t, "LLaMA-7B prefix", "0.11", try prefix(small, tokens: 30), .truncated),
      PaperFigure(
        t, "LLaMA-13B prefix", "0.03", try prefix(large, tokens: 10), assuming: "10 tokens"),
    ]
  }

  /// LoRA of rank 32 on q, k, v, and magnitudes, one for each output, on all seven.
  private static func granularity() throws -> [PaperFigure] {
    let t = "slides: DoRA table 1"
    func value(_ name: String) throws -> Double {
      let base = try PaperBase(name)
      let lora = try base.count("lora", rank: 32, on: ["q_proj", "k_proj", "v_proj"])
      let magnitudes = try base.count("dora", rank: 1) - base.count("lora", rank: 1)
      return percent(lora + magnitudes, of: base.parameters)
    }
    return [
      PaperFigure(t, "LLaMA-7B m:QKVOGUD V:QKV", "0.39", try value("llama2-7b")),
      PaperFigure(t, "LLaMA-13B m:QKVOGUD V:QKV", "0.31", try value("llama2-13b"), .truncated),
    ]
  }

  private static func multimodal() throws -> [PaperFigure] {
    let t = "slides: DoRA tables 2-4"
    let bart = PaperBase(PaperModels.bartQV)
    let lora = try bart.count("lora", rank: 128)
    let magnitudes = try bart.count("dora", rank: 128) - lora
    func bartPercent(features: Int, extra: Int) -> Double {
      let visual = VLBart.visualEmbedding(features: features)
      let all = VLBart.parameters + 200 * 768 + visual + lora + (extra > 0 ? magnitudes : 0)
      return 100 * Double(lora + VLBart.biases + visual + extra) / Double(all)
    }
    let llama = try PaperBase("llama2-7b")
    let base = llama.parameters + LLaVA.visionTower + LLaVA.projector
    func llavaPercent(_ trained: Int) -> Double {
      100 * Double(trained + LLaVA.projector) / Double(base + trained)
    }
    return [
      PaperFigure(
        t, "VL-BART image LoRA", "5.93", bartPercent(features: 2048, extra: 0),
        assuming: "200 added tokens"),
      PaperFigure(
        t, "VL-BART image DoRA", "5.96",
        bartPercent(features: 2048, extra: magnitudes + VLBart.normWeights),
        assuming: "norms are trained"),
      PaperFigure(
        t, "VL-BART video LoRA", "5.17", bartPercent(features: 512, extra: 0),
        assuming: "512 features"),
      PaperFigure(
        t, "VL-BART video DoRA", "5.19", bartPercent(features: 512, extra: magnitudes),
        assuming: "512 features"),
      PaperFigure(
        t, "LLaVA-1.5-7B LoRA", "4.61", llavaPercent(try llama.count("lora", rank: 128)),
        .truncated),
      PaperFigure(
        t, "LLaVA-1.5-7B DoRA", "4.63", llavaPercent(try llama.count("dora", rank: 128)),
        assuming: "the projector is trained"),
    ]
  }
}
