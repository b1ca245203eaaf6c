import Adapters
import Kernels
import Safetensors
import Testing

@testable import Operations

@Suite("Memory of training")
struct MemoryEstimateTests {
  private func report(_ name: String, _ request: EstimateRequest) throws -> EstimateReport {
    try request.report(EstimateFixtures.shapes(name))
  }

  @Test("NF4 with double quantization: 4.127 bits an element")
  func nf4() {
    let count = 4096 * 4096
    let codes = BaseQuantization.nf4.codeBytes(count: count)
    let constants = BaseQuantization.nf4.constantBytes(count: count, rows: 4096)
    // The f32 that all blocks were shifted by comes on top.
    #expect(codes + constants - 4 == 8_654_848)
    #expect(Double(8 * (codes + constants - 4)) / Double(count) == 4.126953125)
    #expect(BaseQuantization.nf4.codeBytes(count: 65) == 33)
    #expect(BaseQuantization.nf4.constantBytes(count: 65, rows: 1) == 2 + 4 + 4)
    #expect(BaseQuantization.int8.codeBytes(count: count) == count)
    #expect(BaseQuantization.int8.constantBytes(count: count, rows: 4096) == 16384)
  }

  @Test("A LLaMA of 7 billion in 16 bits, and with its linear layers in NF4")
  func weights() throws {
    let plain = try report("llama2-7b", EstimateRequest(method: "lora", rank: 16))
    #expect(plain.memory.weights == 2 * 6_738_415_616)
    #expect(plain.memory.quantizationConstants == 0)
    let linear = 32 * (4 * 4096 * 4096 + 3 * 4096 * 11008)
    let rest = 6_738_415_616 - linear
    let quantized = try report(
      "llama2-7b", EstimateRequest(method: "lora", rank: 16, quantization: .nf4))
    #expect(quantized.memory.weights == 2 * rest + linear / 2)
    #expect(
      quantized.memory.quantizationConstants
        == linear / 64 + 4 * linear / (64 * 256) + 4 * 32 * 7)
    #expect(quantized.trainableParameters == plain.trainableParameters)
    #expect(quantized.allParameters == plain.allParameters)
    #expect(quantized.memory.total < plain.memory.total)
  }

  @Test("Parts of an adapter")
  func adapter() throws {
    let lora = try report("wide-llama", EstimateRequest(method: "lora", rank: 4))
    #expect(lora.memory.adapter == 4 * lora.trainableParameters)
    let vera = try report("wide-llama", EstimateRequest(method: "vera", rank: 4))
    // q and v: 512 → 512 and 256; the projections are as large as the largest.
    #expect(vera.trainableParameters == 2 * (512 + 256) + 4 * 4)
    #expect(vera.memory.adapter == 4 * (vera.trainableParameters + 4 * (512 + 512)))
    #expect(vera.memory.optimizer == 8 * vera.trainableParameters)
  }

  /// The formula of `Activations`, written out for one model.
  @Test("Activations of a small LLaMA")
  func activations() throws {
    let request = EstimateRequest(
      method: "lora", rank: 4, targets: .names(["q_proj", "v_proj", "down_proj"]),
      sequenceLength: 10, batchSize: 3)
    let report = try report("tiny-llama", request)
    let attention = 2 * (32 + 16) + 4
    let block = attention + 2 * 32 + 2 * 48
    let adapter = 3 * 4
    let backward = 3 * 32 + max(2 * 48, 2 * (32 + 16))
    let head = 2 * 32 + 40
    let packed = 48
    let step = 6 * 32 + 2 * (block + adapter) + max(backward, head)
    #expect(report.memory.activations == Activations.programBytes + 4 * 30 * (step + packed))
    #expect(report.tokens == 30)
    #expect(report.sequenceLength == 10)
    #expect(report.batchSize == 3)
  }

  @Test("Blocks that are computed again keep their outputs alone")
  func recomputed() throws {
    var request = EstimateRequest(
      method: "lora", rank: 4, targets: .allLinear, sequenceLength: 10, batchSize: 3)
    request.recomputesBlocks = true
    let report = try report("tiny-llama", request)
    let block = 2 * (32 + 16) + 4 + 2 * 32 + 2 * 48
    let backward = 3 * 32 + max(2 * 48, 2 * (32 + 16))
    let adapters = 7 * 4
    let step = 6 * 32 + 2 * 32 + adapters + block + backward + 3 * 32
    #expect(report.memory.activations == Activations.programBytes + 4 * 30 * (step + 48))
  }

  @Test("With the lengths of the data: behind the last attention only tokens with targets count")
  func measuredStep() throws {
    var request = EstimateRequest(method: "bitfit", targets: .allLinear, batchSize: 3)
    request.step = EstimateRequest.StepSize(tokens: 30, targets: 3)
    let report = try report("tiny-llama", request)
    let attention = 2 * (32 + 16) + 4
    let behind = 2 * 32 + 2 * 48
    let backward = 3 * 32 + max(48, 2 * (32 + 16))
    let step = 30 * (6 * 32 + 2 * attention + behind + backward) + 3 * behind
    #expect(report.memory.activations == Activations.programBytes + 4 * (step + 30 * 48))
    #expect(report.tokens == 30)
  }

  @Test("1LoRA keeps one number of a token where LoRA keeps its rank")
  func methodsCompared() throws {
    func activations(_ method: String) throws -> Int {
      try report("llama2-7b", EstimateRequest(method: method, targets: .allLinear))
        .memory.activations
    }
    #expect(try activations("bitfit") < activations("1lora"))
    #expect(try activations("1lora") < activations("mora1"))
    #expect(try activations("lora") < activations("dora"))
    #expect(try activations("mora1") < activations("mora6"))
  }

  @Test("Sequence lengths: what is asked for, what an image has, what the model takes")
  func sequences() throws {
    #expect(
      try report("llama2-7b", EstimateRequest(method: "lora")).sequenceLength
        == EstimateRequest.defaultSequenceLength)
    #expect(try report("tiny-llama", EstimateRequest(method: "lora")).sequenceLength == 16)
    #expect(
      try report("vit-base-16", EstimateRequest(method: "lora", sequenceLength: 7)).sequenceLength
        == 197)
    #expect(throws: EstimateError.self) {
      try report("llama2-7b", EstimateRequest(method: "lora", sequenceLength: 0))
    }
    #expect(throws: EstimateError.tooLarge) {
      try report(
        "llama2-7b",
        EstimateRequest(method: "lora", sequenceLength: 1 << 24, batchSize: 1 << 24))
    }
  }

  /// A layer in training states what it keeps; the estimate has to say the same.
  @Test("What modules keep is what their training layers keep")
  func trainingLayers() throws {
    let geometry = LayerGeometry(module: "m", kind: .linear, shape: [24, 40])
    struct ZeroRows: RowSource {
      let rows = 24
      let columns = 40
      func read(into band: RowBand) { band.values.update(repeating: 1) }
    }
    func check<Count: TrainableMethodCount>(_ count: Count.Type) throws {
      for name in count.names where count.kinds.contains(.linear) {
        let values = count.defaults.merging(count.settings(named: name)) { $1 }
        for extra in [[:], ["train_scale": Setting.bool(true)], ["compression": .text("learned")]] {
          if !extra.isEmpty, count != OneLoRACount.self { continue }
          let settings = MethodSettings(values.merging(extra) { $1 })
          var generator = TorchGenerator(seed: 1)
          let tensors = try Count.Method.initialTensors(
            ModuleStart(layer: geometry, settings: settings, weight: ZeroRows()),
            generator: &generator)
          let shared = try Count.Method.initialShared(layers: [geometry], settings: settings)
          let method = try Count.Method(
            AdapterModule(
              layer: geometry, settings: settings, tensors: tensors,
              context: AdapterContext(shared: shared, layers: [geometry])))
          let layer = try method.trainingLayer(Float.self)
          let kept = try count.kept(geometry, settings)
          #expect(layer.needsInput == kept.input, "\(name) \(extra)")
          #expect(layer.keptCount(tokens: 7) == 7 * kept.numbers, "\(name) \(extra)")
          #expect(
            layer.parameterCount == (try count.parameters(geometry, settings)).trained, "\(name)")
        }
      }
    }
    for count in MethodCounts.all {
      if let count = count as? any TrainableMethodCount.Type { try check(count) }
    }
  }

  @Test("The JSON object has the keys of the command line's contract")
  func json() throws {
    let json = try report("tiny-llama", EstimateRequest(method: "lora", rank: 2)).json
    #expect(json["method"]?.string == "lora")
    #expect(json["trainable_parameters"]?.int == 2 * 2 * (64 + 48))
    #expect(json["all_parameters"]?.int == 18080 + 448)
    #expect(json["trainable_percent"]?.double == 100 * 448.0 / 18528)
    let parts = [
      "weights", "quantization_constants", "adapter", "gradients", "optimizer", "activations",
    ]
    #expect(json["memory"]?.object?.keys == parts + ["total"])
    #expect(
      json["memory"]?["total"]?.int
        == parts.reduce(0) { $0 + (json["memory"]?[$1]?.int ?? 0) })
  }

  /// Codes, kept weights and constants are the bytes that `quantize` writes, besides the tables, the
  /// texts and the layout byte that every layer has; the offset is in the text.
  @Test(
    "Weights in 4 and 8 bits",
    arguments: ["llama", "qwen", "gpt2", "bert", "mixtral"], BaseQuantization.allCases)
  func asWritten(architecture: String, quantization: BaseQuantization) throws {
    let scratch = try Scratch()
    let base = Fixture.path("\(architecture)/base")
    let kind = try #require(QuantizationScheme.Kind(rawValue: quantization.rawValue))
    let request = QuantizeRequest(
      model: base, output: scratch.file("out"), scheme: try QuantizationScheme(kind), threads: 1)
    let layers = try QuantizeOperation(request).run().tensors.count
    var (weights, constants) = (0, 0)
    for (name, tensor) in try readModel(scratch.file("out")) {
      let last = name.split(separator: ".").last ?? ""
      if ["absmax", "nested_absmax", "SCB"].contains(last) {
        constants += tensor.bytes.count
      } else if CompanionName.weight(of: name) == name {
        weights += tensor.bytes.count
      }
    }
    for method in ["lora", "1lora"] {
      let memory = try EstimateRequest(method: method, quantization: quantization)
        .report(model: base).memory
      #expect(memory.weights == weights)
      #expect(
        memory.quantizationConstants == constants + (quantization == .int8 ? 0 : 4 * layers))
    }
  }
}
