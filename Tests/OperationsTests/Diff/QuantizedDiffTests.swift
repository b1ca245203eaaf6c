import Foundation
import Kernels
import Safetensors
import Testing

@testable import Operations

/// Weights in 4 and 8 bits are compared as what they decode to.
@Suite struct QuantizedDiffTests {
  private let shape = [6, 50]

  private func values() -> [Float] {
    var random = Numbers(seed: 42)
    return random.floats(300)
  }

  /// The tensors of one 4-bit weight, as bitsandbytes names them.
  private func fourBit(
    _ name: String, _ tensor: FourBitTensor, dtype: String
  ) -> [String: StoredTensor] {
    let part = name + "."
    var state: JSONObject = [
      "quant_type": "nf4", "blocksize": .int(tensor.format.blockSize), "dtype": .string(dtype),
      "shape": .array(shape.map { .int($0) }),
    ]
    var tensors: [String: StoredTensor] = [
      name: .integers(.u8, [tensor.packed.count, 1], tensor.packed),
      part + "quant_map": .f32([16], tensor.format.code.values),
    ]
    switch tensor.scales {
    case .plain(let scales): tensors[part + "absmax"] = .f32([scales.count], scales)
    case .nested(let nested):
      tensors[part + "absmax"] = .integers(.u8, [nested.codes.count], nested.codes)
      tensors[part + "nested_absmax"] = .f32([nested.absmax.count], nested.absmax)
      tensors[part + "nested_quant_map"] = .f32([256], nested.map)
      state["nested_blocksize"] = 256
      state["nested_offset"] = .double(Double(nested.offset))
    }
    let text = Array(JSONValue.object(state).serialized(style: .pythonLine).utf8)
    tensors[part + "quant_state.bitsandbytes__nf4"] = .integers(.u8, [text.count], text)
    return tensors
  }

  private func quantized(_ rounding: NestedRounding?) throws -> FourBitTensor {
    try ElementType.bf16.rounded(values()).withUnsafeBytes {
      try FourBitTensor(
        quantizing: $0, as: .bf16, format: FourBitFormat(), doubleQuantization: rounding)
    }
  }

  private func decoded(_ tensor: FourBitTensor) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: 600)
    bytes.withUnsafeMutableBytes { tensor.decode(0..<300, as: .bf16, into: $0) }
    return bytes
  }

  @Test(arguments: [nil, NestedRounding.bnbCPU])
  func fourBitAgainstItsOriginal(_ rounding: NestedRounding?) throws {
    let scratch = try Scratch()
    let tensor = try quantized(rounding)
    let norm = StoredTensor.stored(.bf16, [2], [1, 2])
    let original = StoredTensor.stored(.bf16, shape, values())
    try writeModel(scratch.file("a"), config: [:], ["l.weight": original, "norm.weight": norm])
    try writeModel(
      scratch.file("b"), config: [:],
      fourBit("l.weight", tensor, dtype: "bfloat16").merging(["norm.weight": norm]) { $1 })
    let report = try diff(scratch.file("a"), scratch.file("b"))
    #expect(report.tensors.onlyInB.isEmpty && report.tensors.equal == 1)
    let found = try #require(report.tensors.changed.first)
    #expect(found.b.encoding == "nf4" && found.a.encoding == nil && found.b.dtype == .bf16)
    let restored = StoredTensor(dtype: .bf16, shape: shape, bytes: decoded(tensor))
    let twin = NumbersTwin(original.values, restored.values, columns: 50)
    #expect(twin.agrees(with: try #require(found.numbers)))
    // What it decodes to is equal to it.
    try writeModel(scratch.file("c"), config: [:], ["l.weight": restored, "norm.weight": norm])
    #expect(try diff(scratch.file("b"), scratch.file("c")).isIdentical)
  }

  @Test func twoEncodings() throws {
    let scratch = try Scratch()
    try writeModel(
      scratch.file("a"), config: [:],
      fourBit("l.weight", try quantized(nil), dtype: "bfloat16"))
    try writeModel(
      scratch.file("b"), config: [:],
      fourBit("l.weight", try quantized(.nearest), dtype: "bfloat16"))
    let report = try diff(scratch.file("a"), scratch.file("b"))
    #expect(
      report.tensors.onlyInB == ["l.weight.nested_absmax", "l.weight.nested_quant_map"])
    let numbers = try #require(report.numbers("l.weight"))
    let bytes = [decoded(try quantized(nil)), decoded(try quantized(.nearest))]
    #expect((numbers.differing == 0) == (bytes[0] == bytes[1]))
    #expect(
      report.tensors.changed.map(\.tensor) == (bytes[0] == bytes[1] ? [] : ["l.weight"])
        + ["l.weight.absmax", "l.weight.quant_state.bitsandbytes__nf4"])
    #expect(try diff(scratch.file("a"), scratch.file("a")).isIdentical)
  }

  @Test func int8AgainstATransposedOriginal() throws {
    let scratch = try Scratch()
    let values = values()
    let tensor = try ElementType.f32.rounded(values).withUnsafeBytes {
      try Int8Tensor(quantizing: $0, as: .f32, rows: 6, columns: 50)
    }
    var restored: [Float] = []
    for row in 0..<6 {
      for code in tensor.codes[row * 50..<(row + 1) * 50] {
        restored.append(Float(code) * tensor.scales[row] * (1 / 127 as Float))
      }
    }
    try writeModel(
      scratch.file("q"), config: ["model_type": "gpt2"],
      [
        "h.0.mlp.c_fc.weight": .integers(.i8, shape, tensor.codes),
        "h.0.mlp.c_fc.SCB": .f32([6], tensor.scales),
        "h.0.mlp.c_fc.weight_format": .integers(.u8, [], [0 as UInt8]),
      ])
    let turned = transpose(values, rows: 6, columns: 50)
    try writeModel(
      scratch.file("a"), config: ["model_type": "gpt2"],
      ["h.0.mlp.c_fc.weight": .f32([50, 6], turned)])
    let report = try diff(scratch.file("a"), scratch.file("q"))
    #expect(report.tensors.onlyInB.isEmpty)
    let found = try #require(report.tensors.changed.first)
    #expect(found.b.encoding == "int8" && found.b.shape == [50, 6])
    let twin = NumbersTwin(values.map(Double.init), restored.map(Double.init), columns: 50)
    #expect(twin.agrees(with: try #require(found.numbers)))
  }

  @Test func partsThatDoNotFit() throws {
    let scratch = try Scratch()
    var tensors = fourBit("l.weight", try quantized(nil), dtype: "bfloat16")
    tensors["l.weight.absmax"] = .f32([1], [1])
    try writeModel(scratch.file("a"), config: [:], tensors)
    #expect(throws: DiffError.self) { try diff(scratch.file("a"), scratch.file("a")) }
  }
}
