import Adapters
import Foundation
import Kernels
import Safetensors
import Testing

@testable import Training

/// What is trained beside the layers: bottlenecks, prompts and prefixes, in every family of models.
@Suite struct AdditionTests {
  enum Kind: String, CaseIterable, Sendable {
    /// A bottleneck after attention and after the feed-forward, before the residual connection.
    case sequential
    case parallel
    case prompt
    case prefix
  }

  static let cases = ["llama", "qwen", "gpt2", "bert", "vit"].flatMap { family in
    Kind.allCases.compactMap { kind in
      family == "vit" && kind == .prompt ? nil : (family, kind)
    }
  }

  private func random(_ shape: [Int], _ generator: inout TorchGenerator) -> AdapterTensor {
    AdapterTensor(shape: shape, generator.normal(shape.reduce(1, *), deviation: 0.3))
  }

  private func bottleneck(
    _ path: String, inFeatures: Int, outFeatures: Int, isParallel: Bool,
    _ generator: inout TorchGenerator
  ) throws -> (any AdapterLayer<Float>, [String: AdapterTensor]) {
    let layer = LayerGeometry(module: path, kind: .linear, shape: [outFeatures, inFeatures])
    let settings = MethodSettings([
      "bottleneck_size": .integer(5), "use_parallel_adapter": .bool(isParallel),
      "non_linearity": .text(isParallel ? "tanh" : "gelu"), "scaling": .real(isParallel ? 4 : 1),
    ])
    var tensors: [String: AdapterTensor] = [:]
    for tensor in try Bottleneck.tensors(layer: layer, settings: settings) {
      tensors[tensor.leaf] = random(tensor.shape, &generator)
    }
    let method = try Bottleneck(AdapterModule(layer: layer, settings: settings, tensors: tensors))
    return (try method.trainingLayer(Float.self), tensors)
  }

  private func model(_ family: String) throws -> TransformerModel {
    try PeerCase(family: family, name: "lora").plainModel()
  }

  private func adapted(_ family: String, _ kind: Kind) throws -> AdaptedModel {
    let model = try model(family)
    var generator = TorchGenerator(seed: 5)
    switch kind {
    case .sequential:
      let linears = model.blocks.flatMap { [$0.attention.output, $0.feedForward.down] }
      return try AdaptedModel(
        model,
        adapters: try linears.map {
          let (layer, start) = try bottleneck(
            $0.path, inFeatures: $0.inFeatures, outFeatures: $0.outFeatures, isParallel: false,
            &generator)
          return (linear: $0, layer: layer, start: start)
        })
    case .parallel:
      return try AdaptedModel(
        model, adapters: [],
        additions: try model.blocks.indices.map {
          let (layer, start) = try bottleneck(
            model.feedForwardPath(block: $0), inFeatures: model.width, outFeatures: model.width,
            isParallel: true, &generator)
          return .parallel(block: $0, layer, start: start)
        })
    case .prompt:
      return try AdaptedModel(
        model, adapters: [], additions: [.prompt(random([3, model.width], &generator))])
    case .prefix:
      let shape = [3, model.blockCount * 2 * model.keyWidth]
      return try AdaptedModel(model, adapters: [], additions: [.prefix(random(shape, &generator))])
    }
  }

  /// Gradients against central differences of the loss, along directions that change every number.
  @Test(arguments: cases)
  func gradients(family: String, kind: Kind) throws {
    let adapted = try adapted(family, kind)
    let input = try adapted.model.input(try PeerCase(family: family, name: "lora").batch())
    _ = adapted.model.loss(input, factor: 1)
    let (values, gradients) = (
      adapted.parameters.values.values, adapted.parameters.gradients.values
    )
    var generator = TorchGenerator(seed: 6)
    let step: Float = 2e-3
    for entry in adapted.parameters.entries {
      let gradient = Array(gradients[entry.range])
      let norm = gradient.reduce(0) { $0 + Double($1) * Double($1) }.squareRoot()
      #expect(norm > 0, "\(entry.name)")
      for _ in 0..<3 {
        let direction: [Float] = generator.normal(entry.range.count).map { $0 < 0 ? -1 : 1 }
        let start = Array(values[entry.range])
        func loss(_ step: Float) -> Double {
          for (index, at) in entry.range.enumerated() {
            values[at] = start[index] + step * direction[index]
          }
          adapted.parametersChanged()
          return adapted.model.loss(input)
        }
        let numeric = (loss(step) - loss(-step)) / Double(2 * step)
        _ = loss(0)
        let expected = zip(gradient, direction).reduce(0) { $0 + Double($1.0) * Double($1.1) }
        #expect(
          abs(numeric - expected) < 0.02 * norm + 0.01,
          "\(entry.name): \(numeric) instead of \(expected), norm \(norm)")
      }
    }
  }

  /// The gradients that are computed again are the same.
  @Test(arguments: cases)
  func recomputation(family: String, kind: Kind) throws {
    let gradients = try [false, true].map { recomputes in
      let adapted = try adapted(family, kind)
      adapted.model.recomputesBlocks = recomputes
      _ = adapted.model.loss(
        try adapted.model.input(try PeerCase(family: family, name: "lora").batch()), factor: 1)
      return adapted.parameters.gradients.values.map(\.bitPattern)
    }
    #expect(gradients[0] == gradients[1])
  }

  /// Read back from a file, an adapter is what it was.
  @Test(arguments: cases)
  func fromFile(family: String, kind: Kind) throws {
    let adapted = try adapted(family, kind)
    let peer = PeerCase(family: family, name: "lora")
    let input = try adapted.model.input(try peer.batch())
    let settings: JSONValue =
      switch kind {
      case .sequential:
        ["peft_type": "BOTTLENECK", "non_linearity": "gelu", "use_parallel_adapter": false]
      case .parallel:
        [
          "peft_type": "BOTTLENECK", "non_linearity": "tanh", "use_parallel_adapter": true,
          "scaling": 4,
        ]
      case .prompt: ["peft_type": "PROMPT_TUNING", "num_virtual_tokens": 3]
      case .prefix: ["peft_type": "PREFIX_TUNING", "num_virtual_tokens": 3]
      }
    let folder = FileManager.default.temporaryDirectory.appending(
      path: "peft-tool-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    try Data(settings.serialized(style: .pythonLine).utf8).write(
      to: folder.appending(path: "adapter_config.json"))

    var header: JSONObject = [:]
    var data = Data()
    for entry in adapted.parameters.entries {
      let name = entry.name == "prompt_embeddings" ? entry.name : "base_model.model.\(entry.name)"
      let start = data.count
      for value in adapted.parameters.values.values[entry.range] {
        withUnsafeBytes(of: value.bitPattern.littleEndian) { data.append(contentsOf: $0) }
      }
      header[name] = [
        "dtype": "F32", "shape": .array(entry.shape.map { .int($0) }),
        "data_offsets": .array([.int(start), .int(data.count)]),
      ]
    }
    let text = Data(JSONValue.object(header).serialized(style: .pythonLine).utf8)
    var file = withUnsafeBytes(of: UInt64(text.count).littleEndian) { Data($0) }
    file.append(text)
    file.append(data)
    try file.write(to: folder.appending(path: "adapter_model.safetensors"))

    let binding = try AdapterContents(try AdapterFile(path: folder.path)).bind(
      to: try BaseModel(path: peer.base))
    let again = try AdaptedModel(try model(family), adapter: binding)
    // A file has its modules in another order.
    #expect(
      Set(again.parameters.entries.map(\.name)) == Set(adapted.parameters.entries.map(\.name)))
    #expect(
      again.model.logits(input).map(\.bitPattern) == adapted.model.logits(input).map(\.bitPattern))
  }

  /// A prompt of the embeddings of tokens is those tokens.
  @Test(arguments: ["llama", "gpt2"])
  func promptOfTokens(family: String) throws {
    let model = try model(family)
    let table = try #require(model.embedding as? TokenEmbedding).tokens.matrix
    let ids: [Int32] = [7, 2, 11]
    var rows = [Float](repeating: 0, count: ids.count * model.width)
    rows.withUnsafeMutableBufferPointer {
      for (index, id) in ids.enumerated() {
        table.read(row: Int(id), into: $0.baseAddress! + index * model.width)
      }
    }
    let input = try model.input(try PeerCase(family: family, name: "lora").batch())
    var longer = input
    (longer.ids, longer.types, longer.rows) = ([], [], [])
    for sequence in 0..<input.layout.sequences {
      let tokens = input.layout.rows(of: sequence)
      longer.ids += ids + input.ids[tokens]
      longer.types += [Int32](repeating: 0, count: ids.count + tokens.count)
      longer.rows += input.rows.filter(tokens.contains).map { $0 + ids.count * (sequence + 1) }
    }
    longer.layout = TokenLayout(
      lengths: (0..<input.layout.sequences).map { input.layout.rows(of: $0).count + ids.count })
    let expected = model.logits(longer).map(\.bitPattern)
    let prompted = try AdaptedModel(
      model, adapters: [],
      additions: [.prompt(AdapterTensor(shape: [ids.count, model.width], rows))])
    #expect(prompted.model.logits(input).map(\.bitPattern) == expected)
  }

  @Test func refusals() throws {
    let wrong = AdapterTensor(shape: [2, 3], [Float](repeating: 0, count: 6))
    for addition in [ModelAddition.prompt(wrong), .prefix(wrong)] {
      #expect(throws: MethodError.self) {
        try AdaptedModel(try model("llama"), adapters: [], additions: [addition])
      }
    }
    let vit = try model("vit")
    let prompt = AdapterTensor(
      shape: [1, vit.width], [Float](repeating: 0, count: vit.width))
    #expect(throws: MethodError.self) {
      try AdaptedModel(vit, adapters: [], additions: [.prompt(prompt)])
    }
    // GPT-2 has a table of positions: virtual tokens take some of them.
    let gpt2 = try model("gpt2")
    let batch = try PeerCase(family: "gpt2", name: "lora").batch()
    let longest = try #require(gpt2.longest)
    let shape = [longest, gpt2.width]
    let adapted = try AdaptedModel(
      gpt2, adapters: [],
      additions: [
        .prompt(AdapterTensor(shape: shape, [Float](repeating: 0, count: shape[0] * shape[1])))
      ])
    #expect(throws: ModelError.self) { try adapted.model.input(batch) }
  }
}
