import Testing

@testable import Kernels

private func lora(_ settings: [String: Setting], scale: Double, bias: Bool = false) -> MethodCase {
  MethodCase(name: "LoRA \(settings.keys.sorted())", method: LoRA.self, settings: settings) {
    weight, b0, tensors in
    let delta = tensors["lora_B.weight"]! * tensors["lora_A.weight"]!
    let beta = tensors["lora_B.bias"]?.values ?? b0.map { _ in 0 }
    return (weight + scale * delta, zip(b0, beta).map { $0 + scale * $1 })
  }
}

private func rowwise(
  _ name: String, _ method: any TrainableMethod.Type, _ settings: [String: Setting]
) -> MethodCase {
  MethodCase(name: name, method: method, settings: settings) { weight, b0, tensors in
    var result = weight
    var bias = b0
    for i in 0..<weight.rows {
      let scale = (tensors["difffit_scale"])?.values[i] ?? 1
      for j in 0..<weight.columns {
        let a = tensors["onelora_a"]?.values[j] ?? 1
        result[i, j] = scale * (weight[i, j] + (tensors["onelora_b"]?.values[i] ?? 0) * a)
      }
      let beta = (tensors["bitfit_bias"] ?? tensors["difffit_bias"])?.values[i] ?? 0
      bias[i] = scale * (b0[i] + beta)
    }
    return (result, bias)
  }
}

private func dora(_ settings: [String: Setting], scale: Double) -> MethodCase {
  MethodCase(
    name: "DoRA \(settings.keys.sorted())", method: DoRA.self, settings: settings,
    oracle: { weight, b0, tensors in
      let v = weight + scale * (tensors["lora_B.weight"]! * tensors["lora_A.weight"]!)
      let m = tensors["lora_magnitude_vector"]!.values
      return (v.scalingRows(zip(m, v.rowNorms).map { $0 / $1 }), b0)
    },
    detached: settings["dora_simple"] == .bool(false) ? [] : ["lora_A.weight", "lora_B.weight"])
}

@Suite struct PaperMethodTests {
  @Test(arguments: [
    lora(["r": .integer(3), "lora_alpha": .integer(6)], scale: 2),
    lora(["r": .integer(7), "lora_alpha": .real(3.5)], scale: 0.5),
    lora(
      ["r": .integer(4), "lora_alpha": .integer(6), "use_rslora": .bool(true)], scale: 3),
    lora(["r": .integer(1), "lora_alpha": .integer(1), "lora_bias": .bool(true)], scale: 1),
    rowwise("1LoRA", OneLoRA.self, [:]),
    rowwise("1LoRA learned", OneLoRA.self, ["compression": .text("learned")]),
    rowwise("1LoRA random", OneLoRA.self, ["compression": .text("random")]),
    rowwise("1LoRA bias", OneLoRA.self, ["train_bias": .bool(true)]),
    rowwise("1LoRA scale", OneLoRA.self, ["train_scale": .bool(true)]),
    rowwise(
      "1LoRA learned bias scale", OneLoRA.self,
      ["compression": .text("learned"), "train_bias": .bool(true), "train_scale": .bool(true)]),
    dora(["r": .integer(3), "lora_alpha": .integer(6), "use_dora": .bool(true)], scale: 2),
    dora(
      [
        "r": .integer(3), "lora_alpha": .integer(6), "use_dora": .bool(true),
        "dora_simple": .bool(false),
      ], scale: 2),
  ])
  func methodMatchesItsOracle(_ test: MethodCase) throws { try checkMethod(test) }
}
