import Kernels
import Safetensors
import Testing

@testable import Operations

@Suite("Parameters of methods")
struct MethodCountTests {
  static func setting(_ value: JSONValue) -> Setting {
    switch value {
    case .null: .null
    case .bool(let flag): .bool(flag)
    case .number(let number): number.int.map(Setting.integer) ?? .real(number.double)
    case .string(let text): .text(text)
    case .array(let values): .list(values.map(setting))
    case .object(let object): .table(object.entries.map { ($0.key, setting($0.value)) })
    }
  }

  @Test("As many as PEFT trains")
  func peft() throws {
    let cases = try EstimateFixtures.json("methods.json").array ?? []
    #expect(cases.count > 100)
    var methods: Set<String> = []
    for value in cases {
      let base = try #require(value["base"]?.string)
      var method = try #require(value["method"]?.string)
      let settings = value["settings"]?.object?.entries ?? []
      if method == "lora", value["settings"]?["use_dora"]?.bool == true { method = "dora" }
      let targets: TargetSelection? =
        switch value["targets"] {
        case .array(let names)?: .names(names.compactMap(\.string))
        case .string(let pattern)?: .pattern(pattern)
        default: nil
        }
      let trainable = try #require(value["trainable"]?.int)
      methods.insert(method)
      let request = EstimateRequest(
        method: method, targets: targets,
        settings: Dictionary(
          settings.map { ($0.key, Self.setting($0.value)) }, uniquingKeysWith: { $1 }))
      let report = try request.report(EstimateFixtures.shapes(base))
      #expect(report.trainableParameters == trainable, "\(base) \(method) \(settings)")
      // PEFT also holds as parameters, not trained: AdaLoRA's rank of each module, Cartridge's first
      // token.
      let frozen = ["adalora": report.modules.count, "cartridge": trainable / 7]
      #expect(
        report.allParameters + (frozen[method] ?? 0) == value["all"]?.int,
        "\(base) \(method) \(settings)")
    }
    #expect(methods.count >= 40)
  }

  /// Every name with its defaults, on a layer that all block sizes divide.
  @Test("Every method counts something", arguments: MethodCounts.names)
  func every(name: String) throws {
    let settings: [String: Setting] =
      name == "trainable_tokens" ? ["token_indices": .list([.integer(3)])] : [:]
    let report = try EstimateRequest(method: name, settings: settings)
      .report(EstimateFixtures.shapes("wide-llama"))
    #expect(report.trainableParameters > 0)
    #expect(report.memory.total > 0)
    #expect(report.memory.gradients == 4 * report.trainableParameters)
    #expect(report.memory.optimizer == 8 * report.trainableParameters)
  }

  @Test("Names are unique, and every trained method has one")
  func names() {
    #expect(Set(MethodCounts.names).count == MethodCounts.names.count)
    for method in MethodRegistry.all where method is any TrainableMethod.Type {
      for name in method.descriptor.names {
        #expect(MethodCounts.method(named: name) != nil, "\(name)")
      }
    }
  }

  @Test("Variants and additions")
  func variants() throws {
    let base = try EstimateFixtures.shapes("tiny-llama")
    func count(_ method: String, rank: Int? = nil) throws -> Int {
      try EstimateRequest(method: method, rank: rank, targets: .allLinear).report(base)
        .trainableParameters
    }
    // A block: q 32, k 16, v 16, o 32, gate 48, up 48, down 32, each from 32 but down from 48.
    let (out, input, norms) = (2 * 224, 2 * (6 * 32 + 48), 5 * 32)
    #expect(try count("1lora") == out)
    #expect(try count("1lora+bias") == 2 * out)
    #expect(try count("1lora+bias+scale+norms") == 3 * out + norms)
    #expect(try count("lora+norms", rank: 4) == 4 * (out + input) + norms)
    #expect(try count("rslora", rank: 4) == 4 * (out + input))
    #expect(try count("dora", rank: 4) == 4 * (out + input) + out)
    #expect(try count("asylora-a", rank: 4) == 4 * out)
    #expect(try count("asylora-b", rank: 4) == 4 * input)
    #expect(try count("sbora-fa", rank: 4) == 4 * out)
    #expect(try count("sbora-fb", rank: 4) == 4 * input)
    #expect(try count("bitfit") == out)
    #expect(try count("difffit") == 2 * out + norms)
    #expect(try count("difffit+norms") == 2 * out + norms)
    #expect(
      try EstimateRequest(method: "norms").report(base).trainableParameters == norms)
    let full = try EstimateRequest(method: "full").report(base)
    #expect(full.trainableParameters == base.parameterCount)
    #expect(full.trainablePercent == 100)

    #expect(throws: EstimateError.noRank(method: "1lora")) { try count("1lora", rank: 2) }
    #expect(throws: EstimateError.unknownAddition(name: "bias", known: ["norms"])) {
      try count("lora+bias")
    }
    #expect(throws: EstimateError.unknownMethod(name: "lorra", known: MethodCounts.names.sorted()))
    {
      try count("lorra")
    }
    #expect(throws: EstimateError.self) { try count("sbora-fa", rank: 33) }
    #expect(throws: EstimateError.self) { try count("lora", rank: 0) }
  }

  @Test(
    "LoKr's factors",
    arguments: [
      (96, -1, 8, 12), (127, -1, 1, 127), (128, -1, 8, 16), (768, -1, 24, 32), (11008, -1, 86, 128),
      (14336, -1, 112, 128), (100, 8, 5, 20), (128, 8, 8, 16), (768, 64, 12, 64), (100, 25, 4, 25),
    ])
  func kroneckerFactors(dimension: Int, bound: Int, small: Int, large: Int) {
    let factors = LoKrCount.factors(of: dimension, bound: bound)
    #expect(factors.small == small && factors.large == large)
  }
}
