import Foundation
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

private func ia3(feedForward: Bool) -> MethodCase {
  MethodCase(
    name: "(IA)³ \(feedForward)", method: IA3.self,
    settings: feedForward ? ["feedforward_modules": .list([.text("layer")])] : [:]
  ) { weight, b0, tensors in
    let factors = tensors["ia3_l"]!.values
    if feedForward { return (weight.transposed.scalingRows(factors).transposed, b0) }
    return (weight.scalingRows(factors), zip(b0, factors).map { $0 * $1 })
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

private func vera(_ settings: [String: Setting] = [:], name: String = "VeRA") -> MethodCase {
  var numbers = TestNumbers(seed: 77)
  let (a, b) = (numbers.tensor([3, 40]), numbers.tensor([40, 3]))
  return MethodCase(
    name: name, method: VeRA.self,
    settings: settings.merging(["r": .integer(3)]) { $1 }, shared: ["vera_A": a, "vera_B": b],
    oracle: { weight, b0, tensors in
      var result = weight
      let (lambdaB, lambdaD) = (tensors["vera_lambda_b"]!.values, tensors["vera_lambda_d"]!.values)
      for i in 0..<weight.rows {
        for j in 0..<weight.columns {
          for k in 0..<3 {
            result[i, j] += lambdaB[i] * Dense(b)[i, k] * lambdaD[k] * Dense(a)[k, j]
          }
        }
      }
      if let m = tensors["vera_magnitude_vector"]?.values {
        result = result.scalingRows(zip(m, result.rowNorms).map { $0 / $1 })
      }
      return (result, b0)
    })
}

/// ΔW of MoRA by the closed forms, position by position of the padded input.
private func moraDelta(_ kind: MoRA.Kind, _ m: Dense, rows: Int, columns: Int) -> Dense {
  let r = m.rows
  let padded = (columns + r - 1) / r * r
  func group(_ count: Int, _ index: Int) -> Int {
    let (size, larger) = (count / r, count % r)
    return index < larger * (size + 1)
      ? index / (size + 1) : larger + (index - larger * (size + 1)) / size
  }
  func rotated(_ k: Int, _ a: Int, _ c: Int) -> Double {
    guard kind == .six else { return m[a, c] }
    let half = r / 2
    let angle = Double(k) * pow(10000, -2 * Double(c % half) / Double(r))
    return c < half
      ? m[a, c] * cos(angle) + m[a, c + half] * sin(angle)
      : m[a, c] * cos(angle) - m[a, c - half] * sin(angle)
  }
  var result = Dense(rows, columns)
  for o in 0..<rows {
    if kind == .truncation {
      for j in 0..<min(columns, r) where o < r { result[o, j] = m[o, j] }
      continue
    }
    let row = kind == .two || kind == .four ? group(rows, o) : o % r
    if kind == .two || kind == .three {
      for j in 0..<columns { result[o, j] = m[row, group(columns, j)] }
      continue
    }
    for p in 0..<padded {
      if kind == .one || kind == .four {
        result[o, p % columns] += m[row, p % r]
      } else if o % padded / r == p / r {
        result[o, p % columns] += rotated(p / r, o % padded % r, p % r)
      }
    }
  }
  return result
}

private func mora(_ type: Setting, _ kind: MoRA.Kind, rank: Int) -> MethodCase {
  MethodCase(
    name: "MoRA \(kind) r' = \(rank)", method: MoRA.self,
    settings: ["mora_type": type, "mora_rank": .integer(rank)]
  ) { weight, b0, tensors in
    let delta = moraDelta(
      kind, tensors["mora_M"]!, rows: weight.rows, columns: weight.columns)
    return (weight + delta, b0)
  }
}

private let moras: [MethodCase] = [1, 4, 5, 6, 13].flatMap { rank in
  MoRA.Kind.allCases.compactMap { kind in
    guard kind != .six || rank % 2 == 0 else { return nil }
    return mora(Int(kind.rawValue).map { .integer($0) } ?? .text(kind.rawValue), kind, rank: rank)
  }
}

private func sbora(_ variant: String) -> MethodCase {
  MethodCase(
    name: "SBoRA-\(variant)", method: SBoRA.self,
    settings: ["variant": .text(variant), "r": .integer(1), "lora_alpha": .real(1.5)]
  ) { weight, b0, tensors in
    var result = weight
    for (k, index) in tensors["sbora_index"]!.values.enumerated() {
      if let b = tensors["sbora_B"] {
        for i in 0..<weight.rows { result[i, Int(index)] += 1.5 * b[i, k] }
      } else if let a = tensors["sbora_A"] {
        for j in 0..<weight.columns { result[Int(index), j] += 1.5 * a[k, j] }
      }
    }
    return (result, b0)
  } fixed: { layer in
    let count = variant == "FA" ? layer.inFeatures : layer.outFeatures
    return ["sbora_index": AdapterTensor(shape: [1], values: .integer([(count - 1) / 2]))]
  }
}

private let full = MethodCase(name: "full", method: FullTuning.self, settings: [:]) {
  weight, b0, tensors in
  (weight + tensors["full_delta"]!, b0)
}

private func asymmetric(_ frozen: String) -> MethodCase {
  var test = lora(["r": .integer(1), "lora_alpha": .integer(2)], scale: 2)
  test.name = "asymmetric LoRA, \(frozen) frozen"
  test.method = AsymmetricLoRA.self
  test.settings["frozen_factor"] = .text(frozen)
  return test
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
    rowwise("BitFit", BitFit.self, [:]),
    rowwise("DiffFit", DiffFit.self, [:]),
    rowwise("DiffFit without scale", DiffFit.self, ["scale": .bool(false)]),
    ia3(feedForward: false), ia3(feedForward: true),
    vera(),
    vera(["use_dora": .bool(true), "dora_simple": .bool(false)], name: "DVoRA"),
    full,
    sbora("FA"), sbora("FB"), asymmetric("A"), asymmetric("B"),
  ])
  func methodMatchesItsOracle(_ test: MethodCase) throws { try checkMethod(test) }

  @Test(arguments: moras)
  func moraMatchesItsOracle(_ test: MethodCase) throws {
    try checkMethod(test, sizes: [(7, 15), (15, 7), (1, 9), (5, 2)])
  }
}
