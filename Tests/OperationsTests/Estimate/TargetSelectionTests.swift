import Kernels
import Testing

@testable import Operations

@Suite("Targets of an estimate")
struct TargetSelectionTests {
  @Test("The option's value")
  func parsing() throws {
    #expect(try TargetSelection(argument: "all-linear") == .allLinear)
    #expect(try TargetSelection(argument: "All-Linear") == .allLinear)
    #expect(try TargetSelection(argument: "q_proj") == .names(["q_proj"]))
    #expect(
      try TargetSelection(argument: "self_attn.q_proj,v_proj")
        == .names(["self_attn.q_proj", "v_proj"]))
    #expect(try TargetSelection(argument: ".*\\.(q|v)_proj") == .pattern(".*\\.(q|v)_proj"))
    #expect(throws: EstimateError.invalidTargets("(q")) { try TargetSelection(argument: "(q") }
    #expect(throws: EstimateError.invalidTargets("")) { try TargetSelection(argument: "") }
    #expect(throws: EstimateError.invalidTargets(",")) { try TargetSelection(argument: ",") }
  }

  @Test("Names match whole or after a dot, patterns the whole name")
  func selection() throws {
    let layers = try EstimateFixtures.shapes("tiny-llama").layers
    func names(_ argument: String) throws -> [String] {
      try TargetSelection(argument: argument)
        .select(from: layers, kinds: [.linear, .embedding]).map(\.module)
    }
    #expect(
      try names("q_proj")
        == ["model.layers.0.self_attn.q_proj", "model.layers.1.self_attn.q_proj"])
    #expect(try names("layers.1.self_attn.q_proj") == ["model.layers.1.self_attn.q_proj"])
    #expect(try names("model.embed_tokens,lm_head") == ["model.embed_tokens", "lm_head"])
    #expect(try names(".*1.*[qk]_proj").count == 2)
    #expect(try names("all-linear").count == 14)
    for nothing in ["proj", "_proj", "norm", "q_proj$x", "self_attn"] {
      #expect(throws: EstimateError.nothingTargeted(targets: nothing)) { try names(nothing) }
    }
  }
}
