import Safetensors

/// What the steps of a run did, as JSON lines: no times, so that the same run writes the same bytes.
public struct TrainingLog: Sendable {
  static let fileName = "training_log.jsonl"

  public struct Entry: Equatable, Sendable {
    public var step: Int
    public var loss: Double
    public var learningRate: Double
    public var evaluation: Evaluation?
  }

  public private(set) var entries: [Entry] = []

  mutating func add(_ step: Trainer.Step, _ evaluation: Evaluation?) {
    entries.append(
      Entry(
        step: step.number, loss: step.loss, learningRate: step.learningRate,
        evaluation: evaluation))
  }

  init() {}

  var text: String {
    entries.map { entry in
      var line: JSONObject = [
        "step": .int(entry.step), "loss": .double(entry.loss),
        "learning_rate": .double(entry.learningRate),
      ]
      if let evaluation = entry.evaluation {
        line["eval_loss"] = .double(evaluation.loss)
        if let accuracy = evaluation.accuracy { line["eval_accuracy"] = .double(accuracy) }
      }
      return JSONValue.object(line).serialized() + "\n"
    }.joined()
  }

  /// The log of a checkpoint.
  init(path: String) throws {
    let text = String(decoding: try InputFile(path: path).readAll(), as: UTF8.self)
    for line in text.split(separator: "\n") {
      guard let object = try? JSONValue.parse(Array(line.utf8)),
        let step = object["step"]?.number?.int, let loss = object["loss"]?.number?.double,
        let rate = object["learning_rate"]?.number?.double
      else { throw TrainingError.checkpoint(path: path, reason: "a line is not of a log") }
      var evaluation: Evaluation?
      if let loss = object["eval_loss"]?.number?.double {
        evaluation = Evaluation(loss: loss, accuracy: object["eval_accuracy"]?.number?.double)
      }
      entries.append(Entry(step: step, loss: loss, learningRate: rate, evaluation: evaluation))
    }
  }

  func write(into folder: String) throws {
    let file = try OutputFile(path: FileSystem.join(folder, Self.fileName))
    try file.write(Array(text.utf8), at: 0)
    try file.close()
  }
}
