import Foundation
import Testing

@testable import Kernels

/// What the papers say of their methods, exactly.
@Suite struct MethodPropertyTests {
  private func layer(_ out: Int, _ columns: Int) -> LayerGeometry {
    LayerGeometry(module: "l", kind: .linear, shape: [out, columns])
  }

  private func weight(_ out: Int, _ columns: Int, seed: UInt32 = 1) -> Dense {
    var numbers = TestNumbers(seed: seed)
    return Dense(out, columns, numbers.doubles(out * columns))
  }

  private func update(
    _ type: any AdapterMethod.Type, _ out: Int, _ columns: Int, _ settings: [String: Setting],
    _ tensors: [String: AdapterTensor]
  ) throws -> any WeightUpdate {
    try #require(
      try type.init(
        AdapterModule(
          layer: layer(out, columns), settings: MethodSettings(settings), tensors: tensors)
      ).weightUpdate())
  }

  /// D of an additive update.
  private func delta(_ update: any WeightUpdate) throws -> Dense {
    let zero = Dense(update.rows, update.columns)
    return Dense(update.rows, update.columns, try merged(update, zero).map { Double($0) })
  }

  /// The rank of a small matrix, by elimination with full pivoting.
  private func rank(_ matrix: Dense) -> Int {
    var m = matrix
    var rank = 0
    while rank < min(m.rows, m.columns) {
      var (best, row, column) = (0.0, rank, rank)
      for i in rank..<m.rows {
        for j in rank..<m.columns where abs(m[i, j]) > best {
          (best, row, column) = (abs(m[i, j]), i, j)
        }
      }
      guard best > 1e-5 else { break }
      for j in 0..<m.columns { (m[rank, j], m[row, j]) = (m[row, j], m[rank, j]) }
      for i in 0..<m.rows { (m[i, rank], m[i, column]) = (m[i, column], m[i, rank]) }
      for i in rank + 1..<max(m.rows, rank + 1) {
        let factor = m[i, rank] / m[rank, rank]
        for j in rank..<m.columns { m[i, j] -= factor * m[rank, j] }
      }
      rank += 1
    }
    return rank
  }

  private func mora(_ type: String, _ out: Int, _ columns: Int, _ size: Int) throws -> Dense {
    var numbers = TestNumbers(seed: 9)
    return try delta(
      update(
        MoRA.self, out, columns, ["mora_type": .text(type)],
        ["mora_M": numbers.tensor([size, size])]))
  }

  @Test func moraRanks() throws {
    for type in ["1", "2", "3", "4"] { #expect(try rank(mora(type, 17, 13, 4)) <= 4) }
    for (out, columns) in [(12, 12), (13, 10), (10, 13)] {
      let size = 4
      let padded = (columns + size - 1) / size * size
      for type in ["6", "decomposition"] {
        #expect(try rank(mora(type, out, columns, size)) == min(columns, min(out, padded)))
      }
    }
  }

  @Test func supportsAreAsSmallAsAnnounced() throws {
    let (out, columns, size) = (14, 22, 6)
    func support(_ matrix: Dense) -> Int { matrix.values.filter { $0 != 0 }.count }
    #expect(try support(mora("truncation", out, columns, size)) == size * size)
    #expect(try support(mora("6", out, columns, size)) == out * size)
    #expect(try support(mora("decomposition", out, columns, size)) == out * size)
    // Features past the last block that reaches the output get no update.
    let used = (out + size - 1) / size * size
    let rotated = try mora("6", out, columns, size)
    for i in 0..<out { for j in used..<columns { #expect(rotated[i, j] == 0) } }
    var numbers = TestNumbers(seed: 2)
    let index = AdapterTensor(shape: [3], values: .integer([1, 5, 11]))
    let fa = try delta(
      update(
        SBoRA.self, out, columns, [:],
        ["sbora_index": index, "sbora_B": numbers.tensor([out, 3])]))
    let fb = try delta(
      update(
        SBoRA.self, out, columns, ["variant": .text("FB")],
        ["sbora_index": index, "sbora_A": numbers.tensor([3, columns])]))
    #expect(support(fa) == out * 3 && support(fb) == 3 * columns)
  }

  /// Disjoint tasks merge in any order to the same bits, and one can be taken back alone.
  @Test func multiSBoRACommutes() throws {
    let base = weight(8, 12)
    var numbers = TestNumbers(seed: 2)
    let updates = try [[0, 7], [3, 4], [9, 2]].map { indices in
      try update(
        SBoRA.self, 8, 12, ["lora_alpha": .real(1.3)],
        [
          "sbora_index": AdapterTensor(shape: [2], values: .integer(indices)),
          "sbora_B": numbers.tensor([8, 2]),
        ])
    }
    func apply(_ order: [Int]) throws -> [Float] {
      try order.reduce(DenseSource(base).values) {
        try merged(updates[$1], Dense(8, 12, $0.map { Double($0) }))
      }
    }
    let result = try apply([0, 1, 2])
    for order in [[0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
      #expect(try apply(order) == result)
    }
    let without = try apply([0, 2])
    for (index, value) in without.enumerated() where ![3, 4].contains(index % 12) {
      #expect(value == result[index])
    }
    for (index, value) in without.enumerated() where [3, 4].contains(index % 12) {
      #expect(Double(value) == base.values[index])
    }
  }

  @Test func doraRowsHaveTheirMagnitude() throws {
    let base = weight(6, 9)
    var numbers = TestNumbers(seed: 2)
    let m = AdapterTensor(shape: [6], [1, -2, 0.5, 3, 0.25, 4])
    let update = try update(
      DoRA.self, 6, 9, [:],
      [
        "lora_A.weight": numbers.tensor([2, 9]), "lora_B.weight": numbers.tensor([6, 2]),
        "lora_magnitude_vector": m,
      ])
    let result = Dense(6, 9, try merged(update, base).map { Double($0) })
    #expect(distance(result.rowNorms, m.reals.map { Double(abs($0)) }) < 1e-6)
    // A row of zeros stays one.
    var flat = base
    for j in 0..<9 { flat[2, j] = 0 }
    let zero = try self.update(
      DoRA.self, 6, 9, [:],
      [
        "lora_A.weight": numbers.tensor([2, 9]),
        "lora_B.weight": AdapterTensor(shape: [6, 2], [Float](repeating: 0, count: 12)),
        "lora_magnitude_vector": m,
      ])
    #expect(try merged(zero, flat)[18..<27].allSatisfy { $0 == 0 })
  }

  /// Detached and full gradients differ for A and B and agree for m and x.
  @Test func doraGradientRules() throws {
    func gradients(_ simple: Bool) throws -> (parameters: [Double], input: [Double]) {
      let test = MethodCase(
        name: "DoRA", method: DoRA.self,
        settings: ["r": .integer(2), "dora_simple": .bool(simple)]
      ) { weight, bias, _ in (weight, bias) }
      return try Bench(test, out: 6, in: 9).run(Double.self).gradients()
    }
    let (detached, full) = (try gradients(true), try gradients(false))
    #expect(detached.input == full.input)
    #expect(detached.parameters.suffix(6) == full.parameters.suffix(6))
    for range in [0..<18, 18..<30] {
      #expect(distance(detached.parameters[range], full.parameters[range]) > 1e-3)
    }
  }

  /// DVoRA's gradients are those of DoRA with the factors diag(d)·A and diag(b)·B, chained.
  @Test(arguments: [true, false])
  func dvoraChainsDoRA(isDetached: Bool) throws {
    var numbers = TestNumbers(seed: 4)
    let (a, b) = (numbers.tensor([2, 9]), numbers.tensor([6, 2]))
    let tensors = [
      "vera_lambda_b": numbers.tensor([6]), "vera_lambda_d": numbers.tensor([2]),
      "vera_magnitude_vector": numbers.tensor([6]),
    ]
    let same: @Sendable (Dense, [Double], [String: Dense]) -> (Dense, [Double]) = { w, b, _ in
      (w, b)
    }
    let vera = MethodCase(
      name: "DVoRA", method: VeRA.self,
      settings: [
        "r": .integer(2), "use_dora": .bool(true), "dora_simple": .bool(isDetached),
      ], shared: ["vera_A": a, "vera_B": b], oracle: same, fixed: { _ in tensors })
    let (lambdaB, lambdaD) = (tensors["vera_lambda_b"]!.reals, tensors["vera_lambda_d"]!.reals)
    let factors = [
      "lora_A.weight": AdapterTensor(
        shape: [2, 9], (0..<18).map { lambdaD[$0 / 9] * a.reals[$0] }),
      "lora_B.weight": AdapterTensor(
        shape: [6, 2], (0..<12).map { lambdaB[$0 / 2] * b.reals[$0] }),
      "lora_magnitude_vector": tensors["vera_magnitude_vector"]!,
    ]
    let dora = MethodCase(
      name: "DoRA", method: DoRA.self,
      settings: [
        "r": .integer(2), "lora_alpha": .integer(2), "dora_simple": .bool(isDetached),
      ], oracle: same, fixed: { _ in factors })
    let chained = try Bench(vera, out: 6, in: 9).run(Double.self).gradients()
    let plain = try Bench(dora, out: 6, in: 9).run(Double.self).gradients()
    var expectedB = [Double](repeating: 0, count: 6)
    var expectedD = [Double](repeating: 0, count: 2)
    for i in 0..<6 {
      for k in 0..<2 {
        expectedB[i] += plain.parameters[18 + i * 2 + k] * Double(b.reals[i * 2 + k])
      }
    }
    for k in 0..<2 {
      for j in 0..<9 { expectedD[k] += plain.parameters[k * 9 + j] * Double(a.reals[k * 9 + j]) }
    }
    #expect(
      distance(chained.parameters, expectedB + expectedD + plain.parameters.suffix(6)) < 1e-6)
    #expect(distance(chained.input, plain.input) < 1e-6)
  }

  /// 1LoRA is LoRA of rank 1 with A frozen at ones, step by step.
  @Test func oneLoRAIsLoRAWithOnes() throws {
    let same: @Sendable (Dense, [Double], [String: Dense]) -> (Dense, [Double]) = { w, b, _ in
      (w, b)
    }
    let one = MethodCase(
      name: "1LoRA", method: OneLoRA.self, settings: [:], oracle: same,
      fixed: { _ in ["onelora_b": AdapterTensor(shape: [6], [Float](repeating: 0, count: 6))] })
    let frozen = MethodCase(
      name: "LoRA", method: AsymmetricLoRA.self,
      settings: [
        "r": .integer(1), "lora_alpha": .integer(1), "frozen_factor": .text("A"),
      ], oracle: same,
      fixed: { _ in
        [
          "lora_A.weight": AdapterTensor(shape: [1, 9], [Float](repeating: 1, count: 9)),
          "lora_B.weight": AdapterTensor(shape: [6, 1], [Float](repeating: 0, count: 6)),
        ]
      })
    let runs = try [one, frozen].map { try Bench($0, out: 6, in: 9).run(Double.self) }
    for _ in 0..<20 {
      for run in runs {
        // A loss whose gradient depends on the output.
        let y = run.output(run.bench.input)
        var moved = run.bench.gradient
        for index in moved.values.indices { moved.values[index] = y[index] - moved.values[index] }
        let gradients = run.gradients(of: moved).parameters
        for index in gradients.indices { run.store.values.values[index] -= 0.02 * gradients[index] }
        run.adapter.parametersChanged()
      }
    }
    #expect(distance(runs[0].store.values.values, runs[1].store.values.values) < 1e-13)
    #expect(runs[0].store.values.values.contains { abs($0) > 1e-2 })
    // And its ΔW has constant rows.
    var numbers = TestNumbers(seed: 3)
    let d = try delta(
      update(OneLoRA.self, 4, 5, [:], ["onelora_b": numbers.tensor([4])]))
    for i in 0..<4 { for j in 1..<5 { #expect(d[i, j] == d[i, 0]) } }
  }

  @Test func oneLoRAIsBitFitOnInputsThatSumToOne() throws {
    let same: @Sendable (Dense, [Double], [String: Dense]) -> (Dense, [Double]) = { w, b, _ in
      (w, b)
    }
    let values = AdapterTensor(shape: [6], [1, 2, -3, 0.5, 0.25, -1])
    let one = MethodCase(
      name: "1LoRA", method: OneLoRA.self, settings: [:], oracle: same,
      fixed: { _ in ["onelora_b": values] })
    let bias = MethodCase(
      name: "BitFit", method: BitFit.self, settings: [:], oracle: same,
      fixed: { _ in ["bitfit_bias": values] })
    var input = Dense(2, 8)
    for index in 0..<16 { input.values[index] = 0.125 }
    let outputs = try [one, bias].map {
      try Bench($0, out: 6, in: 8).run(Double.self).output(input)
    }
    #expect(outputs[0] == outputs[1])
    // Behind a LayerNorm without affine parameters every sum is zero: nothing is learnt.
    for index in 0..<16 { input.values[index] = index % 2 == 0 ? 1 : -1 }
    let run = try Bench(one, out: 6, in: 8).run(Double.self)
    #expect(run.output(input) == run.plainOutput(input).values.map { Double($0) })
  }

  /// LoRA with A = B = 0 cannot start; MoRA with M = 0 can.
  @Test func zerosThatCanLearn() throws {
    let same: @Sendable (Dense, [Double], [String: Dense]) -> (Dense, [Double]) = { w, b, _ in
      (w, b)
    }
    func gradient(_ method: any TrainableMethod.Type, _ settings: [String: Setting]) throws -> Bool
    {
      let test = MethodCase(
        name: "zero", method: method, settings: settings, spread: 0, oracle: same)
      return try Bench(test, out: 6, in: 9).run(Double.self).gradients().parameters.contains {
        $0 != 0
      }
    }
    #expect(try !gradient(LoRA.self, ["r": .integer(2)]))
    for kind in MoRA.Kind.allCases {
      #expect(
        try gradient(MoRA.self, ["mora_type": .text(kind.rawValue), "mora_rank": .integer(4)]))
    }
  }

  /// Merging and starting anew leaves the function as it is (ReLoRA).
  @Test func mergeAndRestart() throws {
    let base = weight(6, 9)
    var numbers = TestNumbers(seed: 5)
    let settings: [String: Setting] = ["r": .integer(2), "lora_alpha": .integer(4)]
    let trained = try update(
      LoRA.self, 6, 9, settings,
      ["lora_A.weight": numbers.tensor([2, 9]), "lora_B.weight": numbers.tensor([6, 2])])
    let restarted = try update(
      LoRA.self, 6, 9, settings,
      [
        "lora_A.weight": numbers.tensor([2, 9]),
        "lora_B.weight": AdapterTensor(shape: [6, 2], [Float](repeating: 0, count: 12)),
      ])
    let once = try merged(trained, base)
    #expect(try merged(restarted, Dense(6, 9, once.map { Double($0) })) == once)
  }

  /// Taking an additive change back errs by half an ulp of either weight at most.
  @Test func unmergeBySubtraction() throws {
    let base = weight(16, 16)
    var numbers = TestNumbers(seed: 5)
    let settings: [String: Setting] = ["r": .integer(2), "lora_alpha": .integer(1)]
    let tensors = [
      "lora_A.weight": numbers.tensor([2, 16]), "lora_B.weight": numbers.tensor([16, 2]),
    ]
    let update = try update(LoRA.self, 16, 16, settings, tensors)
    let there = try merged(update, base)
    let back = try merged(
      try #require(update.inverse()), Dense(16, 16, there.map { Double($0) }))
    for (index, value) in back.enumerated() {
      let original = Float(base.values[index])
      let bound = Double(there[index].ulp) / 2 + Double(original.ulp) / 2
      #expect(abs(Double(value) - Double(original)) <= bound)
    }
  }

  /// What can be written as plain LoRA is, exactly.
  @Test func exactLowRankForms() throws {
    var numbers = TestNumbers(seed: 6)
    for type in ["1", "2", "3", "4"] {
      let m = numbers.tensor([3, 3])
      let update = try update(MoRA.self, 7, 8, ["mora_type": .text(type)], ["mora_M": m])
      let repeated = try #require(update as? RepeatedRowsUpdate)
      #expect(repeated.exactLowRank.rank == 3)
      #expect(
        try merged(LowRankUpdate(repeated.exactLowRank), weight(7, 8))
          == merged(update, weight(7, 8)))
    }
  }

  @Test func aRowScaledToZeroCannotBeTakenBack() throws {
    let tensors = [
      "difffit_bias": AdapterTensor(shape: [2], [1, 2]),
      "difffit_scale": AdapterTensor(shape: [2], [1, 0]),
    ]
    #expect(try update(DiffFit.self, 2, 3, [:], tensors).inverse() == nil)
    let method = try DiffFit(
      AdapterModule(layer: layer(2, 3), settings: MethodSettings([:]), tensors: tensors))
    #expect(method.biasUpdate()?.inverse() == nil)
  }
}
