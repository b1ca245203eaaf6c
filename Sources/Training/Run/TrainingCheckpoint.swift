import Kernels
import Safetensors

/// The state of a run between two steps: with it, the run goes on to the same bits.
///
/// A folder with the adapter, the log so far, and `training_state.safetensors`: the optimiser's memory,
/// the best parameters so far, and as metadata where the run is and which options it has.
struct TrainingCheckpoint {
  static let fileName = "training_state.safetensors"

  var step: Int
  var position: BatchSource.Position
  var firstLoss: Double?
  /// Options that decide the numbers, by name.
  var options: [String: String]
  /// The values of all parameters, in the order of their buffer.
  var parameters: [Float]
  var optimizer: OptimizerState
  /// The best evaluation so far, with its parameters.
  var best: (loss: Double, parameters: [Float])?
  /// Evaluations since the best one.
  var evaluationsSinceBest = 0
  /// The frozen factors of earlier rounds (`Restarts.state`).
  var past: [String: [Float]] = [:]

  func write(into folder: String) throws {
    var tensors: [(name: String, dtype: DType, shape: [Int], bytes: [UInt8])] = []
    func add(_ name: String, _ values: [Float]) {
      tensors.append((name, .f32, [values.count], ElementType.f32.rounded(values)))
    }
    add("parameters", parameters)
    if let best { add("best", best.parameters) }
    for (name, values) in past.sorted(by: { $0.key < $1.key }) { add("past." + name, values) }
    for (name, values) in optimizer.values.sorted(by: { $0.key < $1.key }) {
      switch values {
      case .real(let values): add("optimizer." + name, values)
      case .bytes(let bytes): tensors.append(("optimizer." + name, .u8, [bytes.count], bytes))
      }
    }
    var state: JSONObject = [
      "step": .int(step), "epoch": .int(position.epoch), "batches": .int(position.batches),
      "optimizer_steps": .int(optimizer.steps),
      "evaluations_since_best": .int(evaluationsSinceBest),
    ]
    // As bits: a decimal would be read as another number by some readers.
    state["first_loss"] = firstLoss.map { .string(Self.text($0)) } ?? .null
    state["best_loss"] = best.map { .string(Self.text($0.loss)) } ?? .null
    var settings = JSONObject()
    for (name, value) in options.sorted(by: { $0.key < $1.key }) { settings[name] = .string(value) }
    state["options"] = .object(settings)
    let writer = try SafetensorsWriter(
      path: FileSystem.join(folder, Self.fileName),
      layout: SafetensorsLayout(
        tensors: tensors.map { ($0.name, $0.dtype, $0.shape) },
        metadata: [(key: "training_state", value: JSONValue.object(state).serialized())]))
    for tensor in tensors { try writer.write(tensor.bytes, to: tensor.name) }
    try writer.finish()
  }

  init(
    step: Int, position: BatchSource.Position, firstLoss: Double?, options: [String: String],
    parameters: [Float], optimizer: OptimizerState, best: (loss: Double, parameters: [Float])?,
    evaluationsSinceBest: Int, past: [String: [Float]]
  ) {
    self.step = step
    self.position = position
    self.firstLoss = firstLoss
    self.options = options
    self.parameters = parameters
    self.optimizer = optimizer
    self.best = best
    self.evaluationsSinceBest = evaluationsSinceBest
    self.past = past
  }

  init(folder: String) throws {
    let path = FileSystem.join(folder, Self.fileName)
    guard FileSystem.isRegularFile(path) else {
      throw TrainingError.checkpoint(path: folder, reason: "it has no \(Self.fileName)")
    }
    let file = try SafetensorsFile(path: path)
    func damaged(_ reason: String) -> TrainingError { .checkpoint(path: path, reason: reason) }
    guard let text = file.header.metadata?["training_state"],
      let state = try? JSONValue.parse(Array(text.utf8)).object
    else { throw damaged("its state is not JSON") }
    func integer(_ name: String) throws -> Int {
      guard let value = state[name]?.number?.int else { throw damaged("\(name) is missing") }
      return value
    }
    func real(_ name: String) throws -> Double? {
      guard let text = state[name]?.string else { return nil }
      guard let bits = UInt64(text, radix: 16) else { throw damaged("\(name) is no number") }
      return Double(bitPattern: bits)
    }
    var values: [String: OptimizerState.Values] = [:]
    var parameters: [Float]?
    var best: [Float]?
    var past: [String: [Float]] = [:]
    for tensor in file.header.tensors {
      let bytes = try file.read(tensor)
      let name = tensor.name
      if tensor.dtype == .u8 {
        values[String(name.dropFirst("optimizer.".count))] = .bytes(bytes)
        continue
      }
      let reals = ElementType.f32.widened(bytes)
      switch name {
      case "parameters": parameters = reals
      case "best": best = reals
      case _ where name.hasPrefix("past."): past[String(name.dropFirst("past.".count))] = reals
      default: values[String(name.dropFirst("optimizer.".count))] = .real(reals)
      }
    }
    guard let parameters else { throw damaged("it has no parameters") }
    self.init(
      step: try integer("step"),
      position: .init(epoch: try integer("epoch"), batches: try integer("batches")),
      firstLoss: try real("first_loss"),
      options: Dictionary(
        state["options"]?.object?.entries.compactMap { entry in
          entry.value.string.map { (entry.key, $0) }
        } ?? [], uniquingKeysWith: { first, _ in first }),
      parameters: parameters,
      optimizer: OptimizerState(steps: try integer("optimizer_steps"), values: values),
      best: try real("best_loss").flatMap { loss in best.map { (loss, $0) } },
      evaluationsSinceBest: try integer("evaluations_since_best"), past: past)
  }

  private static func text(_ value: Double) -> String { String(value.bitPattern, radix: 16) }
}
