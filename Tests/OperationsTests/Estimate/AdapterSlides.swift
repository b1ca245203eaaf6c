import Kernels

@testable import Operations

/// Slides on adapters, on LoRA's own tables, on Hugging Face PEFT and on QLoRA's arithmetic.
struct AdapterSlides {
  let figures: [PaperFigure]

  init() throws {
    figures = try Self.adapters() + Self.loraPaper() + Self.peft() + Self.qlora()
  }

  private static func adapters() throws -> [PaperFigure] {
    let t = "slides: adapters"
    let d = 1024
    let layer = PaperBase(PaperModels.model([("dense", d, d, 1)]))
    // Without the biases of the two projections.
    let bottleneck = try layer.count("bottleneck", rank: 24) - (24 + d)
    let bert = PaperBase(PaperModels.model([("dense", d, d, 48)]))
    let percent = 100 * Double(try bert.count("bottleneck", rank: 64)) / 335_141_888
    return [
      PaperFigure(t, "bottleneck 1024-24-1024", "49,152", bottleneck),
      PaperFigure(t, "dense 1024x1024", "1,048,576", layer.parameters),
      PaperFigure(
        t, "BERT adapters, % trained", "3.6", percent, .nominal,
        assuming: "a mean over sizes that are not given"),
    ]
  }

  private static func loraPaper() throws -> [PaperFigure] {
    let t = "slides: LoRA paper"
    let gpt3 = PaperBase(PaperModels.gpt3)
    /// Two adapters in each of 96 blocks, with biases.
    let houlsby = PaperBase(PaperModels.model([("dense", 12288, 12288, 192)]))
    return [
      PaperFigure(
        t, "GPT-3 one matrix r=8", "18M", try gpt3.count("lora", rank: 8, on: ["q"]), .truncated),
      PaperFigure(
        t, "GPT-3 two matrices r=4", "18M", try gpt3.count("lora", rank: 4, on: ["q", "v"]),
        .truncated),
      PaperFigure(
        t, "GPT-3 four matrices r=2", "18M", try gpt3.count("lora", rank: 2), .truncated),
      PaperFigure(
        t, "RoBERTa-large LoRA", "0.8M", try PaperBase(PaperModels.robertaLarge).count("lora")),
      PaperFigure(
        t, "DeBERTa-XXL LoRA", "4.7M",
        try PaperBase(PaperModels.debertaXXL).count("lora", rank: 16)),
      PaperFigure(
        t, "GPT-3 LoRA r=1", "4.7M", try gpt3.count("lora", rank: 1, on: ["q", "v"])),
      PaperFigure(
        t, "GPT-3 LoRA r=8", "37.7M", try gpt3.count("lora", rank: 8, on: ["q", "v"])),
      PaperFigure(t, "GPT-3 Adapter-H", "7.1M", try houlsby.count("bottleneck", rank: 1)),
      PaperFigure(t, "GPT-3 Adapter-H", "40.1M", try houlsby.count("bottleneck", rank: 8)),
      PaperFigure(
        t, "GPT-3 PreEmbed", "3.2M",
        try EstimateRequest(method: "prompt", rank: 256 + 8).report(gpt3.shapes)
          .trainableParameters),
      // The paper's formula: a vector for each of 16 tokens in each layer.
      PaperFigure(t, "GPT-3 PreLayer", "20.2M", 96 * 12288 * 16, .discrepancy),
      // Every bias: eleven vectors in each layer, and the last norm's.
      PaperFigure(t, "GPT-3 BitFit", "14.2M", 96 * 11 * 12288 + 12288, .discrepancy),
      PaperFigure(t, "GPT-3 FT", "175,255.8M", 96 * 12 * 12288 * 12288, .discrepancy),
      PaperFigure(t, "RoBERTa-large FT", "355.0M", 354_310_144, .nominal),
      PaperFigure(t, "DeBERTa-XXL FT", "1500.0M", 1_500_000_000, .nominal),
    ]
  }

  private static func peft() throws -> [PaperFigure] {
    let t = "slides: PEFT, mt0-large"
    // q and v are the architecture's default.
    let report = try EstimateRequest(method: "lora", rank: 8)
      .report(EstimateFixtures.shapes("mt0-large"))
    return [
      PaperFigure(t, "LoRA r=8", "2359296", report.trainableParameters),
      PaperFigure(t, "all params", "1231940608", report.allParameters),
      PaperFigure(t, "trainable %", "0.19151053100118282", report.trainablePercent),
    ]
  }

  /// Bytes for each parameter: 2 for a weight in 16 bits, 2 for its gradient, 12 for AdamW with an f32
  /// copy of the weight.
  private static func qlora() throws -> [PaperFigure] {
    let t = "slides: QLoRA arithmetic"
    let count = 1 << 26
    let constants = BaseQuantization.nf4.constantBytes(count: count, rows: 1) - 4
    let bits = Double(8 * constants) / Double(count)
    return [
      PaperFigure(t, "bits of constants", "0.5", 32.0 / 64),
      PaperFigure(t, "bits, quantized twice", "0.127", bits),
      PaperFigure(t, "saving on 65B (GB)", "3", (0.5 - bits) * 65 / 8),
      PaperFigure(t, "LLaMA3-8B fp32 (GB)", "32", 8 * 4),
      PaperFigure(t, "LLaMA3-8B full FT (GB)", "128", 8 * 16),
      // 48 million parameters: 0.6 % of the base.
      PaperFigure(t, "QLoRA adapter (GB)", "0.408", 8.5 * 0.048),
      PaperFigure(t, "QLoRA total (GB)", "4.1", 4 + 8.5 * 0.048, .discrepancy),
      PaperFigure(t, "LLaMA3-70B fp32 (GB)", "820", 70 * 4, .discrepancy),
      PaperFigure(t, "T5-11B inference (GB)", "22", 11 * 2),
      PaperFigure(t, "T5-11B FT (GB)", "176", 11 * 16),
      PaperFigure(t, "LLaMA2-33B inference (GB)", "66", 33 * 2),
      PaperFigure(t, "LLaMA2-70B inference (GB)", "140", 70 * 2),
      PaperFigure(t, "LLaMA2-33B FT (GB)", "396", 33 * 12),
      PaperFigure(t, "LLaMA2-70B FT (GB)", "840", 70 * 12),
    ]
  }
}
