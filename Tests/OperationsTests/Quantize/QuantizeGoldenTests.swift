import Kernels
import Safetensors
import Testing

@testable import Operations

/// Checkpoints that transformers and bitsandbytes have written.
struct QuantizedFixture: CustomTestStringConvertible {
  let architecture: String
  let scheme: String

  var testDescription: String { "\(architecture)/\(scheme)" }
  var path: String { Fixture.path("\(architecture)/\(scheme)") }
  var base: String { Fixture.path("\(architecture)/base") }

  static let all = ["llama", "qwen", "gpt2", "bert"].flatMap { architecture in
    ["nf4_dq", "nf4", "fp4_dq", "int8"].map {
      QuantizedFixture(architecture: architecture, scheme: $0)
    }
  }

  /// What to ask for.
  func request(to output: String) throws -> QuantizeRequest {
    let kind =
      scheme == "int8" ? .int8 : scheme.hasPrefix("fp4") ? .fp4 : QuantizationScheme.Kind.nf4
    return QuantizeRequest(
      model: base, output: output,
      scheme: try QuantizationScheme(kind, doubleQuantized: scheme != "nf4"), threads: 2)
  }
}

@Suite struct QuantizeGoldenTests {
  @Test(arguments: QuantizedFixture.all)
  func everyTensorIsThePeers(_ fixture: QuantizedFixture) throws {
    let scratch = try Scratch()
    let out = scratch.file("out")
    let report = try QuantizeOperation(fixture.request(to: out)).run()
    let found = try readModel(out)
    let wanted = try readModel(fixture.path)
    #expect(Set(found.keys) == Set(wanted.keys))
    for (name, tensor) in wanted {
      #expect(found[name] == tensor, "\(name)")
    }
    let config = try JSONValue.parse(InputFile(path: out + "/config.json").readAll())
    let peers = try JSONValue.parse(InputFile(path: fixture.path + "/config.json").readAll())
    #expect(config["quantization_config"] == peers["quantization_config"])
    #expect(report.tensors.count + report.kept == (try readModel(fixture.base).count))
    #expect(scratch.names == ["out"])
  }

  /// Decoded by the definition, element by element, in the orientation and type of the base.
  @Test(arguments: QuantizedFixture.all)
  func decodingFollowsTheDefinition(_ fixture: QuantizedFixture) throws {
    let scratch = try Scratch()
    let out = scratch.file("out")
    let plan = try DequantizePlan(DequantizeRequest(model: fixture.path, output: out, threads: 2))
    try DequantizeOperation(plan).run()
    let stored = try readModel(fixture.path)
    let base = try readModel(fixture.base)
    let found = try readModel(out)
    #expect(Set(found.keys) == Set(base.keys))
    for name in plan.unpacked {
      let tensor = try #require(found[name])
      let original = try #require(base[name])
      #expect(tensor.shape == original.shape && tensor.dtype == original.dtype)
      let element: ElementType = original.dtype == .bf16 ? .bf16 : .f32
      var values = try DequantizationTwin.values(of: name, in: stored)
      if fixture.architecture == "gpt2" {
        values = transpose(values, rows: tensor.shape[1], columns: tensor.shape[0])
      }
      #expect(tensor.bytes == element.rounded(values), "\(name)")
    }
    for (name, tensor) in found where !plan.unpacked.contains(name) {
      #expect(tensor == stored[name])
    }
    let config = try JSONValue.parse(InputFile(path: out + "/config.json").readAll())
    #expect(config["quantization_config"] == nil)
  }

  /// What was lost is the difference between the base and what the codes stand for.
  @Test(arguments: QuantizedFixture.all.filter { $0.architecture != "bert" })
  func reportedErrors(_ fixture: QuantizedFixture) throws {
    let scratch = try Scratch()
    let report = try QuantizeOperation(fixture.request(to: scratch.file("out"))).run()
    let stored = try readModel(fixture.path)
    let base = try readModel(fixture.base)
    for tensor in report.tensors {
      let original = try #require(base[tensor.name])
      var values = original.values
      if fixture.architecture == "gpt2" {
        let (rows, columns) = (original.shape[0], original.shape[1])
        let stored = values
        values = stored.indices.map { stored[$0 % rows * columns + $0 / rows] }
      }
      let decoded = try DequantizationTwin.values(of: tensor.name, in: stored)
      let differences = zip(values, decoded).map { abs($0 - Double($1)) }
      #expect(tensor.largestError == differences.max())
      let squares = differences.reduce(0) { $0 + $1 * $1 }
      let rms = (squares / Double(values.count)).squareRoot()
      #expect(abs(tensor.rootMeanSquareError / rms - 1) < 1e-6, "\(tensor.name)")
    }
  }
}

/// Decodes quantized weights one element after the other (spec/nf4-checkpoint.md).
enum DequantizationTwin {
  static func values(of name: String, in tensors: [String: StoredTensor]) throws -> [Float] {
    let weight = try #require(tensors[name])
    func floats(_ suffix: String) -> [Float]? { tensors[name + suffix]?.values.map(Float.init) }
    if let scales = tensors[name.dropLast(6) + "SCB"]?.values.map(Float.init) {
      let columns = weight.shape[1]
      return weight.bytes.enumerated().map {
        Float(Int8(bitPattern: $1)) * scales[$0 / columns] * 0.007874015718698502
      }
    }
    let table = try #require(floats(".quant_map"))
    let key = try #require(tensors.keys.first { $0.hasPrefix(name + ".quant_state") })
    let state = try JSONValue.parse(try #require(tensors[key]).bytes)
    let block = try #require(state["blocksize"]?.int)
    let count = state["shape"]?.array?.compactMap(\.int).reduce(1, *) ?? 0
    let scales: [Float]
    if let map = floats(".nested_quant_map"), let absmax = floats(".nested_absmax") {
      let offset = Float(try #require(state["nested_offset"]?.double))
      scales = try #require(tensors[name + ".absmax"]).bytes.enumerated().map {
        map[Int($1)] * absmax[$0 / 256] + offset
      }
    } else {
      scales = try #require(floats(".absmax"))
    }
    return (0..<count).map { index in
      let byte = weight.bytes[index / 2]
      return table[Int(index % 2 == 0 ? byte >> 4 : byte & 15)] * scales[index / block]
    }
  }
}
