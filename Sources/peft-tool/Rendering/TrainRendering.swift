import Kernels
import Operations
import Safetensors
import Training

/// What `train` says: a line for each step as JSON, or now and then for people.
final class TrainRendering {
  private let training: TrainingRun
  private let output: OutputOptions
  private let began = ContinuousClock.now
  private var lastStep = ContinuousClock.now
  private var tokens = 0
  private let firstStep: Int

  init(_ training: TrainingRun, output: OutputOptions) {
    self.training = training
    self.output = output
    firstStep = training.step
  }

  private var seconds: Double { (ContinuousClock.now - began) / .seconds(1) }

  func start() {
    if training.request.pooling != nil, !output.quiet {
      Terminal.tell(
        "warning: the classifier looks at what --pooling says; one of transformers looks at what its "
          + "family does, and needs the same pooling to give the same answers")
    }
    guard !output.json, !output.quiet else { return }
    let (trained, all) = (training.trainableParameters, training.allParameters)
    Terminal.put(
      "trainable params: \(Text.grouped(trained)) || all params: \(Text.grouped(all)) || "
        + "trainable%: \(Text.fixed(100 * Double(trained) / Double(all), 4))")
    if firstStep > 0 { Terminal.put("going on behind step \(firstStep)") }
  }

  func show(_ step: Trainer.Step, _ evaluation: Evaluation?) {
    let now = ContinuousClock.now
    let rate = Double(step.tokens) / max((now - lastStep) / .seconds(1), 1e-9)
    lastStep = now
    tokens += step.tokens
    if output.json {
      var line: JSONObject = [
        "step": .int(step.number), "loss": .double(step.loss),
        "learning_rate": .double(step.learningRate), "tokens_per_second": .double(rate.rounded()),
      ]
      if let evaluation { Self.add(evaluation, to: &line) }
      Terminal.put(JSONValue.object(line).serialized())
      return
    }
    guard !output.quiet else { return }
    let (number, total) = (step.number, training.totalSteps)
    let interval = output.verbose ? 1 : max(1, total / 20)
    guard number == firstStep + 1 || number == total || number % interval == 0 || evaluation != nil
    else { return }
    let done = number - firstStep
    let left = seconds / Double(max(done, 1)) * Double(total - number)
    var line =
      "step \(number)/\(total)  loss \(Text.fixed(step.loss, 4))  rate "
      + "\(Text.significant(step.learningRate))  \(Text.grouped(Int(Double(tokens) / max(seconds, 1e-9)))) tokens/s  "
      + "\(Text.duration(left)) left"
    if let evaluation {
      line += "  eval loss \(Text.fixed(evaluation.loss, 4))"
      if let accuracy = evaluation.accuracy { line += ", accuracy \(Text.fixed(accuracy, 4))" }
    }
    Terminal.put(line)
  }

  func finish(_ outcome: TrainingRun.Outcome) {
    if let path = outcome.interruption {
      Terminal.tell(
        "ended at step \(outcome.steps); go on with the same options and --resume \(path)")
    }
    if output.json {
      var line: JSONObject = [
        "done": .bool(outcome.interruption == nil), "steps": .int(outcome.steps),
        "seconds": .double(seconds), "peak_memory_bytes": .int(ProcessMemory.peakBytes),
        "trainable_parameters": .int(training.trainableParameters),
      ]
      if let evaluation = outcome.evaluation { Self.add(evaluation, to: &line) }
      if let path = outcome.interruption { line["checkpoint"] = .string(path) }
      if outcome.stoppedEarly { line["stopped_early"] = true }
      Terminal.put(JSONValue.object(line).serialized())
    } else if !output.quiet, outcome.interruption == nil {
      if outcome.stoppedEarly { Terminal.put("stopped early: the best adapter was kept") }
      Terminal.put(
        "\(training.request.output): \(Text.count(outcome.steps, "step")) in "
          + "\(Text.duration(seconds)), peak memory \(Text.bytes(ProcessMemory.peakBytes))")
    }
  }

  private static func add(_ evaluation: Evaluation, to line: inout JSONObject) {
    line["eval_loss"] = .double(evaluation.loss)
    if let accuracy = evaluation.accuracy { line["eval_accuracy"] = .double(accuracy) }
  }

  /// What `--dry-run` says: the estimate of these options.
  static func showPlan(of request: TrainingRequest, _ output: OutputOptions) throws {
    let report = try request.estimate()
    if output.json {
      Terminal.putJSON(report.json)
    } else if !output.quiet {
      let rendering = EstimateRendering(report: report, listsModules: output.verbose)
      for line in rendering.lines { Terminal.put(line) }
    }
  }
}
