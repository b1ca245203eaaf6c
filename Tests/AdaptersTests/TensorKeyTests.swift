import Testing

@testable import Adapters

@Suite struct TensorKeyTests {
  private static let leaves = [
    "lora_A.weight", "lora_B.weight", "lora_B.bias", "lora_embedding_A", "lora_magnitude_vector",
    "road_theta",
  ]

  private func key(_ name: String) -> TensorKey {
    TensorKey(name, leaves: Self.leaves, shared: ["vera_A", "tinylora_v."])
  }

  @Test(arguments: [
    ("base_model.model.model.layers.0.q_proj.lora_A.weight", "model.layers.0.q_proj"),
    ("base_model.model.model.layers.0.q_proj.lora_A.default.weight", "model.layers.0.q_proj"),
    ("base_model.model.q.lora_A.my.weight", "q"),
    ("model.layers.0.q_proj.lora_A.weight", "model.layers.0.q_proj"),
    ("base_model.layers.0.q_proj.lora_A.weight", "layers.0.q_proj"),
    ("module.base_model.model.q.lora_A.weight", "q"),
    ("base_model.model._orig_mod.q.lora_A.weight", "q"),
    ("base_model.model._fsdp_wrapped_module.a._checkpoint_wrapped_module.q.lora_A.weight", "a.q"),
    // A module that has the name of a leaf's part.
    ("base_model.model.lora_A.weight.lora_A.weight", "lora_A.weight"),
  ])
  func parameters(_ name: String, _ module: String) {
    let key = key(name)
    #expect(key.module == module)
    #expect(key.role == .parameter(leaf: "lora_A.weight"))
    #expect(key.nesting == 0)
  }

  @Test func leavesOfOneSegment() {
    #expect(key("base_model.model.q.road_theta").role == .parameter(leaf: "road_theta"))
    #expect(key("base_model.model.q.road_theta.default").module == "q")
    #expect(
      key("base_model.model.e.lora_embedding_A").role == .parameter(leaf: "lora_embedding_A"))
  }

  @Test func nesting() {
    let inner = key("base_model.model.mlp.experts.base_layer.base_layer.lora_A.weight")
    #expect(inner.module == "mlp.experts" && inner.nesting == 2)
    let output = key("base_model.model.mha.base_layer.out_proj.lora_A.weight")
    #expect(output.module == "mha.out_proj" && output.nesting == 0 && output.insideWrapped)
  }

  @Test func replacements() {
    let head = key("base_model.model.score.weight")
    #expect(head.module == "score" && head.role == .replacement(parameter: "weight"))
    let bias = key("base_model.model.q.base_layer.bias")
    #expect(bias.module == "q" && bias.role == .replacement(parameter: "bias"))
    #expect(bias.nesting == 1)
    let live = key("base_model.model.score.modules_to_save.default.weight")
    #expect(live.module == "score" && live.role == .replacement(parameter: "weight"))
    let stripped = key("base_model.model.score.modules_to_save.bias")
    #expect(stripped.module == "score" && stripped.role == .replacement(parameter: "bias"))
    #expect(key("base_model.model.score.original_module.weight").role == .frozenOriginal)
    let rows = key("base_model.model.embed_tokens.token_adapter.trainable_tokens_delta")
    #expect(rows.module == "embed_tokens" && rows.role == .tokenRows)
  }

  @Test func shared() {
    #expect(key("base_model.vera_A").role == .shared(name: "vera_A"))
    #expect(key("base_model.tinylora_v.3").role == .shared(name: "tinylora_v.3"))
    #expect(key("base_model.model.vera_A").role == .shared(name: "vera_A"))
  }
}
