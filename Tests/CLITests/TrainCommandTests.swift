import Foundation
import Safetensors
import Testing

private let models = Tool.fixtures + "/training"

@Suite struct TrainCommandTests {
  private func llama(_ out: String, _ more: String...) throws -> Tool.Result {
    try Tool.run(
      ["train", models + "/llama/base", out, "--data", models + "/llama/data.safetensors"]
        + ["--batch-size", "3", "--learning-rate", "0.01"] + more)
  }

  private func lines(_ result: Tool.Result) throws -> [JSONValue] {
    try result.output.split(separator: "\n").map { try JSONValue.parse(Array($0.utf8)) }
  }

  @Test func aJSONLineForEachStep() throws {
    let folder = try TemporaryFolder()
    let out = folder.file("out")
    let result = try llama(out, "--steps", "3", "--eval-split", "0.34", "--json")
    #expect(result.status == 0, "\(result.errors)")
    let lines = try lines(result)
    #expect(lines.dropLast().compactMap { $0["step"]?.int } == [1, 2, 3])
    for line in lines.dropLast() {
      for key in ["loss", "learning_rate", "tokens_per_second"] {
        #expect(line[key]?.double != nil, "\(key)")
      }
    }
    #expect(lines[2]["eval_loss"]?.double != nil)
    let last = try #require(lines.last)
    #expect(last["done"]?.bool == true && last["steps"]?.int == 3)
    for key in ["seconds", "peak_memory_bytes", "trainable_parameters"] {
      #expect(last[key]?.double ?? 0 > 0, "\(key)")
    }
    #expect(
      Set(try FileSystem.names(in: out)) == [
        "adapter_config.json", "adapter_model.safetensors", "loss.svg", "training_log.jsonl",
      ])
    let log = String(
      decoding: try InputFile(path: out + "/training_log.jsonl").readAll(), as: UTF8.self)
    #expect(log.split(separator: "\n").count == 3)
    #expect(try Tool.run("verify", out, "--against", models + "/llama/base").status == 0)

    // The same run writes the same bytes; OUT is replaced only when that is asked for.
    let again = folder.file("again")
    #expect(try llama(again, "--steps", "3", "--eval-split", "0.34", "--quiet").status == 0)
    for name in try FileSystem.names(in: out) {
      let (a, b) = try (InputFile(path: out + "/" + name), InputFile(path: again + "/" + name))
      #expect(try a.readAll() == b.readAll(), "\(name)")
    }
    #expect(try llama(out, "--steps", "1").status == 73)
    #expect(try llama(out, "--steps", "1", "--no-plot", "--force", "--quiet").status == 0)
    #expect(!FileSystem.exists(out + "/loss.svg"))
  }

  @Test func aPlanWithoutTraining() throws {
    let folder = try TemporaryFolder()
    let result = try llama(folder.file("out"), "--method", "1lora", "--dry-run", "--json")
    #expect(result.status == 0)
    #expect(result.json?["trainable_parameters"]?.int == 960)
    #expect(result.json?["memory"]?["total"]?.int ?? 0 > 0)
    #expect(try FileSystem.names(in: folder.path).isEmpty)
  }

  /// A model with a tokenizer of a few words.
  private func reader(in folder: TemporaryFolder) throws -> String {
    let model = folder.file("reader")
    try FileManager.default.copyItem(atPath: models + "/bert/base", toPath: model)
    let config = model + "/config.json"
    var json = try #require(try JSONValue.parse(InputFile(path: config).readAll()).object)
    for key in ["id2label", "label2id", "num_labels"] { json[key] = .null }
    json["id2label"] = ["0": "bad", "1": "fine", "2": "good"]
    try Data(JSONValue.object(json).serialized().utf8).write(to: URL(filePath: config))
    let words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "dull", "bright", "film", "long"]
    var vocabulary = JSONObject()
    for (id, word) in words.enumerated() { vocabulary[word] = .int(id) }
    let tokenizer: JSONValue = [
      "version": "1.0", "truncation": .null, "padding": .null, "added_tokens": [],
      "normalizer": .null, "pre_tokenizer": ["type": "Whitespace"],
      "post_processor": [
        "type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2],
      ],
      "decoder": .null,
      "model": [
        "type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
        "max_input_chars_per_word": 100, "vocab": .object(vocabulary),
      ],
    ]
    try Data(tokenizer.serialized().utf8).write(to: URL(filePath: model + "/tokenizer.json"))
    let examples = [("a dull film", "bad"), ("a bright film", "good"), ("a long film", "fine")]
    let data = (0..<12).map { index in
      let (text, label) = examples[index % 3]
      return #"{"text": "\#(text)", "label": "\#(label)"}"#
    }
    try Data((data.joined(separator: "\n") + "\n").utf8)
      .write(to: URL(filePath: folder.file("data.jsonl")))
    return model
  }

  /// Options in YAML, data as JSON lines: a classifier learns three texts by heart.
  @Test func configurationAndText() throws {
    let folder = try TemporaryFolder()
    let yaml = """
      base_model: \(try reader(in: folder))
      output_dir: \(folder.file("never"))
      datasets:
        - path: \(folder.file("data.jsonl"))
          type: completion
      adapter: lora
      lora_r: 4
      lora_alpha: 8
      lora_target_linear: true
      peft_use_dora: true
      micro_batch_size: 3
      num_epochs: 10
      learning_rate: 2e-2
      lr_scheduler: cosine
      warmup_steps: 2
      val_set_size: 0.25
      sequence_len: 16
      wandb_project: anything
      load_in_8bit: false
      """
    let config = folder.file("run.yml")
    try Data(yaml.utf8).write(to: URL(filePath: config))
    let (base, out) = (folder.file("reader"), folder.file("out"))
    let result = try Tool.run("train", base, out, "--config", config, "--epochs", "12", "--json")
    #expect(result.status == 0, "\(result.errors)")
    let lines = try lines(result)
    #expect(lines.count == 37)
    #expect(lines.last?["eval_accuracy"]?.double == 1)
    let written = try JSONValue.parse(InputFile(path: out + "/adapter_config.json").readAll())
    #expect(written["r"]?.int == 4 && written["lora_alpha"]?.int == 8)
    #expect(written["use_dora"]?.bool == true && written["task_type"]?.string == "SEQ_CLS")
    #expect(!FileSystem.exists(folder.file("never")))

    for (line, message) in [
      ("lora_layers_to_transform: [1]", "the key lora_layers_to_transform is not supported"),
      ("learning_rate: fast", "learning_rate should be a number"),
      ("optimizer: lion", "optimizer should be one of"),
      ("a: [", "run.yml, line"),
    ] {
      let key = line.split(separator: ":")[0]
      let kept = yaml.split(separator: "\n").filter { !$0.hasPrefix(key + ":") }
      try Data((kept + [line[...]]).joined(separator: "\n").utf8).write(to: URL(filePath: config))
      let result = try Tool.run("train", "--config", config)
      #expect(result.status == 65 && result.errors.contains(message), "\(result.errors)")
    }
  }

  @Test(
    arguments: [
      (["--method", "loha"], 64, "not_trainable"), (["--method", "nothing"], 64, "unknown_method"),
      (["--data", "/nowhere"], 66, "not_found"), (["--resume", "/nowhere"], 66, "not_found"),
      (["--early-stop", "2"], 64, "no_evaluation_data"), (["--task", "classify"], 65, "data"),
      (["--learning-rate", "1e8", "--max-grad-norm", "0", "--steps", "20"], 65, "diverged"),
    ] as [([String], Int32, String)])
  func failures(_ arguments: [String], _ status: Int32, _ code: String) throws {
    let folder = try TemporaryFolder()
    let result = try Tool.run(
      ["train", models + "/gpt2/base", folder.file("out")]
        + ["--data", models + "/gpt2/data.safetensors", "--json"] + arguments)
    #expect(result.status == status, "\(result.errors)")
    let last = result.output.range(of: "{\n").map { String(result.output[$0.lowerBound...]) }
    let error = try JSONValue.parse(Array((last ?? "null").utf8))["error"]
    #expect(error?["code"]?.string == code, "\(result.errors)")
    #expect(try FileSystem.names(in: folder.path).isEmpty)
  }

  @Test(arguments: [
    ["train"], ["train", "a", "b"], ["train", "a", "b", "--data", "c", "--steps", "0"],
    ["train", "a", "b", "--data", "c", "--dropout", "1"],
    ["train", "a", "b", "--data", "c", "--steps", "1", "--epochs", "1"],
  ])
  func wrongUsage(_ arguments: [String]) throws {
    let result = try Tool.run(arguments)
    #expect(result.status == 64 && result.errors.contains("Usage: peft-tool train"))
  }

  /// Ctrl-C: a checkpoint, and status 130.
  @Test func interruption() throws {
    let folder = try TemporaryFolder()
    let out = folder.file("out")
    let arguments = [
      "train", models + "/llama/base", out, "--data", models + "/llama/data.safetensors",
      "--steps", "100000000", "--batch-size", "1", "--json",
    ]
    let process = Process()
    let output = Pipe()
    process.executableURL = URL(filePath: Tool.executable)
    process.arguments = arguments
    process.standardOutput = output
    try process.run()
    // The first steps are done.
    #expect(!output.fileHandleForReading.availableData.isEmpty)
    process.interrupt()
    _ = output.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    #expect(process.terminationStatus == 130)
    #expect(!FileSystem.exists(out))
    let checkpoints = try FileSystem.names(in: out + ".checkpoints")
    #expect(checkpoints.count == 1 && checkpoints[0].hasPrefix("step-"))
  }
}
