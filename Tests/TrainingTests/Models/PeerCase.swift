import Adapters
import Foundation
import Kernels
import Safetensors
import Testing

@testable import Training

/// A training run made by transformers and PEFT, in Fixtures/training.
struct PeerCase: CustomTestStringConvertible, Sendable {
  let family: String
  let name: String

  static let all = [
    ("llama", ["lora", "dora", "vera", "ia3", "ln"]), ("qwen", ["lora", "dora"]),
    ("gpt2", ["lora", "dora"]), ("bert", ["lora", "dora", "vera", "ia3", "ln", "bitfit"]),
    ("vit", ["lora", "dora"]),
  ].flatMap { family, names in names.map { PeerCase(family: family, name: $0) } }

  var testDescription: String { "\(family)/\(name)" }

  static let root = URL(filePath: #filePath).deletingLastPathComponent()
    .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
    .appending(path: "Fixtures/training")

  private func path(_ file: String) -> String {
    Self.root.appending(path: "\(family)/\(file)").path
  }

  /// The losses of the six steps.
  func losses() throws -> [Double] {
    let index = try JSONValue.parse(
      try Data(contentsOf: Self.root.appending(path: "index.json")))
    let losses = try #require(index["cases"]?["\(family)/\(name)"]?["losses"]?.array)
    return losses.compactMap(\.double)
  }

  /// All tensors of a file, in f32.
  func tensors(_ file: String) throws -> [String: AdapterTensor] {
    let file = try SafetensorsFile(path: path("\(name)/\(file)"))
    var result: [String: AdapterTensor] = [:]
    for info in file.header.tensors {
      result[info.name] = try #require(
        AdapterTensor(try file.read(info), dtype: info.dtype, shape: info.shape))
    }
    return result
  }

  func batch() throws -> Batch {
    let loader = BatchLoader(
      try SafetensorsDataset(path: path("data.safetensors")),
      settings: BatchSettings(batchSize: 3, sequenceLength: 64, shuffles: false))
    var batches = loader.batches(epoch: 0)
    return try #require(try batches.next())
  }

  /// The folder of the model.
  var base: String { path("base") }

  /// The model without an adapter.
  ///
  /// - Parameter folder: another form of the model.
  func plainModel(
    in folder: String? = nil, pooling: ModelInput.Pooling? = nil,
    quantization: QuantizationScheme? = nil, threads: Int = 2, precision: MatrixPrecision = .f32
  ) throws -> TransformerModel {
    let context = LayerContext(
      pool: ThreadPool(count: threads), precision: precision, memory: 1 << 20)
    return try TransformerModel.load(
      try BaseModel(path: folder ?? base), pooling: pooling, quantization: quantization,
      context: context)
  }

  func model(
    in folder: String? = nil, quantization: QuantizationScheme? = nil
  ) throws -> AdaptedModel {
    let base = QuantizedModel(try BaseModel(path: folder ?? self.base)).unpacked
    let adapter = try AdapterContents(try AdapterFile(path: path("\(name)/init"))).bind(to: base)
    return try AdaptedModel(
      try plainModel(in: folder, quantization: quantization), adapter: adapter)
  }

  /// A parameter's name as this package has it: without PEFT's wrappers.
  static func plain(_ name: String) -> String {
    name.replacing("base_model.model.", with: "").replacing(".modules_to_save.", with: ".")
      .replacing(".base_layer.", with: ".").replacing(".ln_tuning_layers.", with: ".")
      .replacing("lora_magnitude_vector.weight", with: "lora_magnitude_vector")
  }
}

/// The largest difference, as a part of the largest expected value, or of `floor` where that is larger.
func relativeDifference(
  _ found: some Collection<Float>, _ expected: [Float], floor: Float = .leastNormalMagnitude
) -> Float {
  precondition(found.count == expected.count)
  let difference = zip(found, expected).map { abs($0 - $1) }.max() ?? 0
  return difference / max(expected.map(abs).max() ?? 0, floor)
}
