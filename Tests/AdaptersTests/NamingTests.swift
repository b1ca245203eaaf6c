import Kernels
import Testing

@testable import Adapters

@Suite struct NamingTests {
  @Test func naturalOrder() {
    #expect(NaturalOrder.precedes("layers.2.q", "layers.10.q"))
    #expect(!NaturalOrder.precedes("layers.10.q", "layers.2.q"))
    #expect(NaturalOrder.precedes("a", "a.b"))
    #expect(NaturalOrder.precedes("layers.3", "layers.x"))
    #expect(!NaturalOrder.precedes("a.b", "a.b"))
  }

  @Test func registrationOrder() {
    let names = [
      "lm_head", "model.layers.10.mlp.down_proj", "model.layers.2.mlp.gate_proj",
      "model.layers.2.self_attn.v_proj", "model.layers.2.self_attn.q_proj", "model.embed_tokens",
    ]
    #expect(
      names.sorted(by: RegistrationOrder.precedes) == [
        "model.embed_tokens", "model.layers.2.self_attn.q_proj", "model.layers.2.self_attn.v_proj",
        "model.layers.2.mlp.gate_proj", "model.layers.10.mlp.down_proj", "lm_head",
      ])
  }

  @Test(arguments: [
    ("vit", "vit.encoder.layer.3.attention.attention.query", "vit.layers.3.attention.q_proj"),
    ("vit", "vit.encoder.layer.3.attention.output.dense", "vit.layers.3.attention.o_proj"),
    ("vit", "vit.encoder.layer.3.output.dense", "vit.layers.3.mlp.fc2"),
    ("vit", "classifier", "classifier"),
    ("mixtral", "model.layers.0.block_sparse_moe.experts.2.w1", "model.layers.0.mlp.experts.2.w1"),
    ("segformer", "encoder.block.1.0.mlp.dense1", "stages.1.blocks.0.mlp.fc1"),
    ("llava", "language_model.model.layers.0.mlp", "model.language_model.layers.0.mlp"),
    ("llava", "language_model.lm_head", "lm_head"),
    ("llava", "vision_tower.x", "model.vision_tower.x"),
  ])
  func schemes(_ type: String, _ checkpoint: String, _ memory: String) throws {
    let scheme = try #require(NameScheme.candidates(modelType: type).dropFirst().first)
    #expect(scheme.inMemory(checkpoint) == memory)
    #expect(NameScheme.all[0].inMemory(checkpoint) == checkpoint)
  }

  @Test func editDistance() {
    #expect(EditDistance.between("kitten", "sitting", limit: 10) == 3)
    #expect(EditDistance.between("", "abc", limit: 10) == 3)
    #expect(EditDistance.between("same", "same", limit: 1) == 0)
    #expect(EditDistance.between("aaaaaaaa", "bbbbbbbb", limit: 3) == 3)
  }

  @Test func patterns() throws {
    let table: [(key: String, value: Setting)] = [
      ("^lin1", .integer(5)), ("in1", .integer(7)), ("self_attn.q_proj", .integer(9)),
    ]
    func value(_ module: String, _ rule: SettingPattern.Rule = .wholeOrSuffix) -> Setting? {
      ModulePattern.firstMatch(in: table, module: module, rule: rule)?.value
    }
    #expect(value("lin1") == .integer(5))
    #expect(value("a.in1") == .integer(7))
    // `^` inside a key can only match a whole name, and a key is no substring.
    #expect(value("a.lin1") == nil)
    #expect(value("model.layers.0.self_attn.q_proj") == .integer(9))
    #expect(value("in1", .suffix) == nil)
    #expect(value("b.in1", .suffix) == .integer(7))
    #expect(value("xxin1xx", .search) == .integer(7))
  }

  @Test func targets() {
    func settings(_ values: [String: Setting]) -> TargetModules {
      TargetModules(MethodSettings(values))
    }
    let list = settings([
      "target_modules": .list([.text("q_proj"), .text("model.head")]),
      "exclude_modules": .list([.text("layers.1.q_proj")]),
      "layers_to_transform": .list([.integer(1), .integer(2)]),
    ])
    #expect(list.contains("model.layers.2.q_proj") == true)
    #expect(list.contains("model.layers.0.q_proj") == false)
    #expect(list.contains("model.layers.1.q_proj") == false)
    #expect(list.contains("model.head") == true)
    #expect(list.contains("model.layers.2.xq_proj") == false)
    let regex = settings(["target_modules": .text(#".*\.(q|o)_proj"#)])
    #expect(regex.contains("a.q_proj") == true)
    #expect(regex.contains("a.q_proj.b") == false)
    let pattern = settings([
      "target_modules": .list([.text("q")]), "layers_to_transform": .integer(3),
      "layers_pattern": .text("h"),
    ])
    #expect(pattern.contains("t.h.3.q") == true)
    #expect(pattern.contains("t.layers.3.q") == false)
    #expect(settings([:]).contains("anything") == nil)
  }
}
