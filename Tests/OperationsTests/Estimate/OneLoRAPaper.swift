import Kernels

@testable import Operations

/// Appendix D of the 1LoRA paper.
struct OneLoRAPaper {
  let figures: [PaperFigure]

  init() throws {
    let depth = try PaperBase(
      "depth-anything-vitl14", .names(["attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2"]))
    let vit = try PaperBase("vit-base-16", .names(["query", "key", "value", "dense"]))
    figures =
      try Self.depthAnything(depth) + Self.llama() + Self.diffusion() + Self.classification(vit)
      + Self.ablations(depth, vit)
  }

  private static func depthAnything(_ base: PaperBase) throws -> [PaperFigure] {
    let t = "S2-S5 Depth Anything ViT-L/14"
    return [
      PaperFigure(t, "MoRA1", "220.06K", try base.mora("mora1", .one)),
      PaperFigure(t, "MoRA6", "217.44K", try base.mora("mora6", .six)),
      PaperFigure(t, "BitFit", "221.18K", try base.count("bitfit")),
      PaperFigure(
        t, "DiffFit", "321.54K", try base.count("difffit", settings: ["scale": .bool(false)]),
        assuming: "gamma is not counted"),
      PaperFigure(t, "LoRA r=1", "393.22K", try base.count("lora", rank: 1)),
      PaperFigure(t, "VeRA r=1", "221.28K", try base.count("vera", rank: 1)),
      PaperFigure(t, "DoRA r=1", "614.40K", try base.count("dora", rank: 1)),
      PaperFigure(t, "1LoRA", "221.18K", try base.count("1lora")),
      PaperFigure(
        t, "All", "335.32M",
        try EstimateRequest(method: "full").report(base.shapes)
          .trainableParameters, assuming: "without the metric head"),
    ]
  }

  private static func llama() throws -> [PaperFigure] {
    let base = try PaperBase("llama2-7b")
    let large = try PaperBase("llama2-13b")
    let qkv = ["q_proj", "k_proj", "v_proj"]
    let withoutGamma: [String: Setting] = ["scale": .bool(false)]
    let head = "a vector on the output head, of 32,000"
    let t = "S6 LLaMA2-7B"
    let u = "S7 LLaMA2-13B"
    return [
      PaperFigure(t, "MoRA1", "1.36M", try base.mora("mora1", .one)),
      PaperFigure(t, "MoRA6", "1.35M", try base.mora("mora6", .six)),
      PaperFigure(t, "BitFit", "1.36M", try base.count("bitfit")),
      PaperFigure(
        t, "DiffFit", "1.66M", try base.count("difffit", settings: withoutGamma) + 32000,
        assuming: head),
      PaperFigure(t, "LoRA r=1", "2.50M", try base.count("lora", rank: 1)),
      PaperFigure(t, "VeRA r=1", "1.36M", try base.count("vera", rank: 1)),
      PaperFigure(t, "1LoRA", "1.36M", try base.count("1lora")),
      PaperFigure(t, "LoRA (QKV)", "786.43K", try base.count("lora", rank: 1, on: qkv)),
      PaperFigure(u, "BitFit", "2.13M", try large.count("bitfit")),
      PaperFigure(
        u, "DiffFit", "2.58M", try large.count("difffit", settings: withoutGamma) + 32000,
        assuming: head),
      PaperFigure(u, "1LoRA", "2.13M", try large.count("1lora")),
      PaperFigure(u, "LoRA (QKV)", "1.23M", try large.count("lora", rank: 1, on: qkv)),
    ]
  }

  /// Every row also trains a table of labels, 101 and "none"; the time step's layers are not adapted.
  private static func diffusion() throws -> [PaperFigure] {
    let base = try PaperBase(
      "dit-xl-2",
      .names([
        "attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2", "adaLN_modulation.1", "final_layer.linear",
      ]))
    let labels = 102 * 1152
    let note = "with the table of labels"
    let t = "S8 DiT-XL/2"
    return [
      PaperFigure(
        t, "MoRA1", "604.41K", try base.mora("mora1", .one) + labels, assuming: note),
      PaperFigure(
        t, "MoRA6", "596.52K", try base.mora("mora6", .six) + labels, assuming: note),
      PaperFigure(t, "BitFit", "603.68K", try base.count("bitfit") + labels, assuming: note),
      PaperFigure(t, "DiffFit", "1.09M", try base.count("difffit") + labels, assuming: note),
      PaperFigure(
        t, "LoRA r=1", "864.03K", try base.count("lora", rank: 1) + labels, assuming: note),
      PaperFigure(
        t, "VeRA r=1", "603.82K", try base.count("vera", rank: 1) + labels, assuming: note),
      PaperFigure(t, "1LoRA", "603.68K", try base.count("1lora") + labels, assuming: note),
    ]
  }

  /// The tables print four times the count of one model.
  private static func classification(_ base: PaperBase) throws -> [PaperFigure] {
    let head = 768 * 10 + 10
    let rows: [(String, String, Int)] = [
      ("MoRA1", "333.36K", try base.mora("mora1", .one)),
      ("MoRA6", "328.13K", try base.mora("mora6", .six)),
      ("BitFit", "331.78K", try base.count("bitfit")),
      ("DiffFit", "817.15K", try base.count("difffit")),
      ("LoRA r=1", "663.55K", try base.count("lora", rank: 1)),
      ("VeRA r=1", "332.06K", try base.count("vera", rank: 1)),
      ("DoRA r=1", "995.33K", try base.count("dora", rank: 1)),
      ("1LoRA", "331.78K", try base.count("1lora")),
      ("1LoRA (norms)", "485.38K", try base.count("1lora+norms")),
      ("All", "343.19M", base.parameters - head),
    ]
    return ["S9 ViT-B CIFAR10", "S10 ViT-B CIFAR100"].flatMap { table in
      rows.map { PaperFigure(table, $0, $1, 4 * $2, assuming: "four models together") }
    }
  }

  private static func ablations(
    _ depth: PaperBase, _ vit: PaperBase
  ) throws -> [PaperFigure] {
    func rows(_ base: PaperBase, scale: Bool) throws -> [(String, Int)] {
      [
        ("norms", try EstimateRequest(method: "norms").report(base.shapes).trainableParameters),
        ("beta", try base.count("bitfit")),
        ("gamma", try base.count("1lora+scale") - base.count("1lora")),
        ("DiffFit", try base.count("difffit", settings: ["scale": .bool(scale)])),
        ("1LoRA", try base.count("1lora")),
        ("1LoRA (beta)", try base.count("1lora+bias")),
        ("1LoRA (norms)", try base.count("1lora+norms")),
        ("1LoRA (gamma)", try base.count("1lora+scale")),
        ("1LoRA (beta, norms)", try base.count("1lora+bias+norms")),
        ("1LoRA (beta, gamma)", try base.count("1lora+bias+scale")),
        ("1LoRA (gamma, norms)", try base.count("1lora+scale+norms")),
        ("1LoRA (beta, gamma, norms)", try base.count("1lora+bias+scale+norms")),
      ]
    }
    let large = [
      "100.35K", "221.18K", "221.18K", "321.54K", "221.18K", "442.37K", "321.54K", "442.37K",
      "542.72K", "663.55K", "542.72K", "763.90K",
    ]
    let small = [
      "153.60K", "331.78K", "331.78K", "817.15K", "331.78K", "663.55K", "485.38K", "663.55K",
      "817.15K", "995.33K", "817.15K", "1.15M",
    ]
    return zip(try rows(depth, scale: false), large).map { row, printed in
      PaperFigure(
        "S11 ablation ViT-L", row.0, printed, row.1,
        assuming: row.0 == "DiffFit" ? "gamma is not counted" : nil)
    }
      + zip(try rows(vit, scale: true), small).map { row, printed in
        PaperFigure(
          "S12 ablation ViT-B", row.0, printed, 4 * row.1, assuming: "four models together")
      }
  }
}
