import Adapters
import Foundation
import Kernels
import Operations
import Safetensors
import Testing

@testable import Training

/// Runs from files to files.
@Suite struct TrainingRunTests {
  static let families = ["llama", "qwen", "gpt2", "bert", "vit"]
  static let methods = [
    "lora", "rslora", "dora", "vera", "1lora", "mora1", "mora2", "mora3", "mora4", "mora6",
    "mora-truncation", "mora-decomposition", "sbora-fa", "sbora-fb", "bitfit", "difffit", "full",
    "asylora-a", "asylora-b", "1lora+bias+scale+norms", "lora+norms", "norms", "ia3",
  ]

  /// Every method learns a batch by heart on every family, and what it writes merges into a model that
  /// has the loss of the adapted one.
  @Test(arguments: families, methods)
  func trainedAdaptersMerge(_ family: String, _ method: String) throws {
    let folder = try TrainingFolder()
    let losses = try folder.train(
      folder.request(family, "out") {
        $0.method = method
        $0.batchSize = 3
        $0.shuffles = false
        if method == "norms" { $0.targets = nil }
      })
    #expect(losses.count == 3 && losses[2] < losses[0])

    let merge = MergeRequest(
      base: TrainingFolder.fixture("\(family)/base"),
      adapters: [WeightedAdapter(path: folder.file("out"))], output: folder.file("merged"),
      threads: 1)
    _ = try MergeOperation(MergePlan(merge)).run()
    let adapted = try loss(TrainingFolder.fixture("\(family)/base"), family, folder.file("out"))
    let merged = try loss(folder.file("merged"), family, nil)
    #expect(abs(adapted - merged) < 2e-5 * adapted, "\(adapted), merged \(merged)")
  }

  /// What cannot be merged learns too, and goes on from its files.
  @Test(arguments: families, ["bottleneck", "parallel", "prefix", "prompt"])
  func trainedAdditions(_ family: String, _ method: String) throws {
    let folder = try TrainingFolder()
    func request(_ output: String) -> TrainingRequest {
      folder.request(family, output) {
        $0.method = method
        $0.rank = 4
        $0.targets = nil
        $0.batchSize = 3
        $0.shuffles = false
      }
    }
    if family == "vit", method == "prompt" {
      #expect(throws: TrainingError.notTrainable(method: "prompt")) {
        try TrainingRun(request("out"))
      }
      return
    }
    let losses = try folder.train(request("out"))
    #expect(losses[2] < losses[0])
    var again = request("again")
    again.initialAdapter = folder.file("out")
    #expect(try folder.train(again)[0] < losses[2])
  }

  /// The loss of a model on its family's data, with an adapter or without.
  private func loss(_ base: String, _ family: String, _ adapter: String?) throws -> Double {
    let base = try BaseModel(path: base)
    let context = LayerContext(pool: ThreadPool(count: 1), memory: 1 << 20)
    let model = try TransformerModel.load(base, context: context)
    let adapted = try adapter.map {
      try AdaptedModel(model, adapter: AdapterContents(AdapterFile(path: $0)).bind(to: base))
    }
    defer { withExtendedLifetime(adapted) {} }
    let loader = BatchLoader(
      try SafetensorsDataset(path: TrainingFolder.fixture("\(family)/data.safetensors")),
      settings: BatchSettings(batchSize: 3, sequenceLength: 64, shuffles: false))
    return try Evaluation(of: model, on: loader).loss
  }

  /// The run of the peers, from their initial adapter's files to the final one's.
  @Test(arguments: ["llama/lora", "gpt2/dora", "bert/vera", "llama/ln", "vit/lora"])
  func peersRun(_ name: String) throws {
    let folder = try TrainingFolder()
    let family = String(name.split(separator: "/")[0])
    let losses = try folder.train(
      folder.request(family, "out") {
        $0.initialAdapter = TrainingFolder.fixture("\(name)/init")
        $0.length = .steps(6)
        $0.batchSize = 3
        $0.shuffles = false
        $0.schedule = .constant
        $0.weightDecay = 0.01
        $0.maximumGradientNorm = 0
      })
    let peer = try #require(PeerCase.all.first { $0.testDescription == name })
    for (found, expected) in zip(losses, try peer.losses()) {
      #expect(abs(found - expected) < 1e-4 * expected)
    }
    let written = try SafetensorsFile(
      path: FileSystem.join(folder.file("out"), "adapter_model.safetensors"))
    let expected = try peer.tensors("final/adapter_model.safetensors")
    #expect(Set(written.header.tensors.map(\.name)) == Set(expected.keys))
    for info in written.header.tensors {
      let found = try #require(
        AdapterTensor(try written.read(info), dtype: info.dtype, shape: info.shape))
      let wanted = try #require(expected[info.name])
      #expect(found.shape == wanted.shape)
      #expect(relativeDifference(found.reals, wanted.reals) < 1e-3, "\(info.name)")
    }
  }

  /// A run that goes on from a checkpoint writes the bytes of one that was not interrupted.
  @Test(arguments: ["adamw", "sgd"], [false, true])
  func resumedRuns(_ optimizer: String, _ interrupted: Bool) throws {
    let folder = try TrainingFolder()
    func request(_ output: String) -> TrainingRequest {
      folder.request("llama", output) {
        $0.method = "dora"
        $0.length = .steps(5)
        $0.batchSize = 1
        $0.accumulation = 2
        $0.dropout = 0.1
        $0.warmup = 2
        $0.weightDecay = 0.01
        $0.optimizer = optimizer == "sgd" ? .sgd : .adamw
        $0.momentum = 0.5
        $0.evaluationSplit = 0.3
        $0.evaluationInterval = 2
        $0.patience = 9
      }
    }
    try folder.train(request("whole"))

    var first = request("resumed")
    first.saveInterval = interrupted ? nil : 3
    let outcome = try TrainingRun(first).run { step, _ in
      interrupted && step.number == 3 ? .interrupt : .goOn
    }
    let checkpoint = TrainingRun.checkpointFolder(of: first.output) + "/step-3"
    #expect(outcome.interruption == (interrupted ? checkpoint : nil))
    #expect(FileSystem.exists(first.output) == !interrupted)

    var second = request("resumed")
    second.checkpoint = checkpoint
    second.replacing = !interrupted
    let losses = try folder.train(second)
    #expect(losses.count == 2)
    for name in [
      "adapter_model.safetensors", "adapter_config.json", "training_log.jsonl", "loss.svg",
    ] {
      #expect(try folder.bytes("whole/\(name)") == folder.bytes("resumed/\(name)"), "\(name)")
    }

    second.learningRate = 0.5
    second.replacing = true
    #expect {
      try TrainingRun(second)
    } throws: { error in
      guard case TrainingError.otherRun(_, "learning-rate", "0.01", "0.5") = error else {
        return false
      }
      return true
    }
  }

  @Test(arguments: ["llama", "bert", "vit"])
  func threadsDoNotMatter(_ family: String) throws {
    let folder = try TrainingFolder()
    for threads in [1, 3] {
      try folder.train(folder.request(family, "out\(threads)") { $0.threads = threads })
    }
    #expect(
      try folder.bytes("out1/adapter_model.safetensors")
        == folder.bytes("out3/adapter_model.safetensors"))
  }

  /// 1LoRA is LoRA of rank 1 whose A stays at ones, step by step.
  @Test func oneLoRAIsLoRAWithOnes() throws {
    let folder = try TrainingFolder()
    let one = try folder.train(
      folder.request("llama", "one") {
        $0.method = "1lora"
        $0.length = .steps(6)
      })
    try folder.train(
      folder.request("llama", "start") {
        $0.method = "asylora-a"
        $0.rank = 1
        $0.length = .steps(1)
        $0.learningRate = 1e-30
      })
    try fill(folder.file("start/adapter_model.safetensors")) { $0.contains("lora_A") ? 1 : 0 }
    let lora = try folder.train(
      folder.request("llama", "lora") {
        $0.initialAdapter = folder.file("start")
        $0.length = .steps(6)
      })
    for (a, b) in zip(one, lora) { #expect(abs(a - b) < 1e-5 * a, "\(one) and \(lora)") }
  }

  /// Replaces every element of the f32 tensors of a file.
  private func fill(_ path: String, _ value: (String) -> Float) throws {
    let file = try SafetensorsFile(path: path)
    var bytes = try InputFile(path: path).readAll()
    for tensor in file.header.tensors {
      let element = ElementType.f32.rounded([value(tensor.name)])
      for at in stride(
        from: file.absoluteRange(of: tensor).lowerBound,
        to: file.absoluteRange(of: tensor).upperBound, by: 4)
      {
        bytes.replaceSubrange(at..<at + 4, with: element)
      }
    }
    try Data(bytes).write(to: URL(filePath: path))
  }

  /// ReLoRA: the adapter of all rounds side by side is what the model had, also across a checkpoint.
  @Test(arguments: ["lora", "rslora"])
  func restarts(_ method: String) throws {
    let folder = try TrainingFolder()
    func request(_ output: String) -> TrainingRequest {
      folder.request("llama", output) {
        $0.method = method
        $0.rank = 3
        $0.alpha = 5
        $0.length = .steps(8)
        $0.restartInterval = 3
        $0.warmup = 1
      }
    }
    let losses = try folder.train(request("whole"))
    #expect(losses.count == 8 && losses[7] < losses[0])
    let config = try JSONValue.parse(folder.bytes("whole/adapter_config.json"))
    #expect(config["r"]?.int == 9)

    var first = request("resumed")
    _ = try TrainingRun(first).run { step, _ in step.number == 4 ? .interrupt : .goOn }
    first.checkpoint = TrainingRun.checkpointFolder(of: first.output) + "/step-4"
    #expect(try folder.train(first) == Array(losses[4...]))
    #expect(
      try folder.bytes("whole/adapter_model.safetensors")
        == folder.bytes("resumed/adapter_model.safetensors"))

    // Seven steps, and the loss of the adapter that they left: that of the eighth step.
    var seven = request("seven")
    seven.length = .steps(7)
    seven.schedule = .constant
    var eight = seven
    eight.length = .steps(8)
    eight.output = folder.file("eight")
    seven.shuffles = false
    eight.shuffles = false
    try folder.train(seven)
    let last = try #require(try folder.train(eight).last)
    let again = try folder.train(
      folder.request("llama", "again") {
        $0.initialAdapter = folder.file("seven")
        $0.length = .steps(2)
        $0.learningRate = 1e-30
        $0.shuffles = false
      })
    #expect(again.contains { abs($0 - last) < 1e-5 * last }, "\(again) and \(last)")
  }

  @Test func divergenceIsNamed() throws {
    let folder = try TrainingFolder()
    let request = folder.request("gpt2", "out") {
      $0.learningRate = 1e8
      $0.schedule = .constant
      $0.maximumGradientNorm = 0
      $0.length = .steps(20)
    }
    do {
      try folder.train(request)
      Issue.record("it should have diverged")
    } catch TrainingError.diverged(let step, _, let tensor) {
      #expect(step > 1 && tensor.contains("lora_"))
    }
    #expect(try FileSystem.names(in: folder.path).isEmpty)
  }

  /// The best adapter is kept, and training ends when the evaluations become worse.
  @Test func earlyStopping() throws {
    let folder = try TrainingFolder()
    var evaluations: [Double] = []
    let request = folder.request("bert", "out") {
      $0.length = .steps(60)
      $0.evaluationSplit = 0.34
      $0.evaluationInterval = 1
      $0.patience = 2
      $0.learningRate = 0.05
      $0.schedule = .constant
    }
    let outcome = try TrainingRun(request).run { _, evaluation in
      if let evaluation { evaluations.append(evaluation.loss) }
      return .goOn
    }
    #expect(outcome.stoppedEarly && outcome.steps < 60)
    let best = try #require(evaluations.min())
    #expect(evaluations.suffix(2).allSatisfy { $0 >= best })

    let again = folder.request("bert", "again") {
      $0.initialAdapter = folder.file("out")
      $0.length = .steps(1)
      $0.evaluationSplit = 0.34
      $0.learningRate = 1e-30
    }
    let kept = try TrainingRun(again).run { _, _ in .goOn }.evaluation?.loss
    #expect(abs(try #require(kept) - best) < 1e-6)
  }

  @Test func refusals() throws {
    let folder = try TrainingFolder()
    func expect(_ expected: TrainingError, _ change: (inout TrainingRequest) -> Void) {
      #expect(throws: expected) {
        try TrainingRun(folder.request("llama", "out", change))
      }
    }
    expect(.notTrainable(method: "loha")) { $0.method = "loha" }
    expect(.noEvaluationData(option: "patience")) { $0.patience = 1 }
    expect(.split(examples: 3, share: 0.9)) { $0.evaluationSplit = 0.9 }
    expect(.notAModel(path: TrainingFolder.fixture("llama/data.safetensors"))) {
      $0.base = TrainingFolder.fixture("llama/data.safetensors")
    }
    #expect(try FileSystem.names(in: folder.path).isEmpty)
  }
}
