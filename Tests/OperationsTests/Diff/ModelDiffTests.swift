import Foundation
import Kernels
import Safetensors
import Testing

@testable import Operations

@Suite struct ModelDiffTests {
  /// Two models, one tensor of each kind changed.
  private func pair(_ scratch: Scratch, _ element: ElementType, rows: Int, columns: Int) throws
    -> (a: StoredTensor, b: StoredTensor)
  {
    var random = Numbers(seed: 40)
    let values = random.floats(rows * columns)
    let changed = values.map { $0 + 0.01 * random.next() }
    let a = StoredTensor.stored(element, [rows, columns], values)
    let b = StoredTensor.stored(element, [rows, columns], changed)
    try writeFile(scratch.file("a.safetensors"), ["w": a, "same": a])
    try writeFile(scratch.file("b.safetensors"), ["w": b, "same": a])
    return (a, b)
  }

  /// Rows shorter and longer than what is compared in one go.
  @Test(arguments: ElementType.allCases, [(5, 7), (2, 17_000)])
  func everyNumberByItsDefinition(_ element: ElementType, _ shape: (Int, Int)) throws {
    let scratch = try Scratch()
    let (a, b) = try pair(scratch, element, rows: shape.0, columns: shape.1)
    let report = try diff(scratch.file("a.safetensors"), scratch.file("b.safetensors"))
    #expect(report.tensors.equal == 1)
    #expect(report.tensors.changed.map(\.tensor) == ["w"])
    let numbers = try #require(report.tensors.changed.first?.numbers)
    let twin = NumbersTwin(a.values, b.values, columns: shape.1)
    #expect(twin.agrees(with: numbers), "\(twin) \(numbers)")
    #expect(numbers.distance == zip(a.places, b.places).map { abs($0 - $1) }.max())
    #expect(numbers.distanceType == element.dtype)
    #expect(numbers.differing == zip(a.places, b.places).count { $0 != $1 })
    #expect(numbers.elements == shape.0 * shape.1)
    // Not a bit depends on the threads.
    for threads in [1, 3] {
      let again = try diff(scratch.file("a.safetensors"), scratch.file("b.safetensors")) {
        $0.threads = threads
      }
      #expect(again.tensors.changed == report.tensors.changed)
    }
  }

  /// Tiles that hold many rows, one row, and a part of one.
  @Test(arguments: [1 << 20, 200, 100, 64, 7])
  func tilesAndThreads(_ tile: Int) throws {
    let scratch = try Scratch()
    let (a, b) = try pair(scratch, .f16, rows: 30, columns: 33)
    let models = try ["a", "b"].map {
      ComparedModel(try SafetensorsFile(path: scratch.file($0 + ".safetensors")))
    }
    let (first, second) = (try #require(models[0]["w"]), try #require(models[1]["w"]))
    let pair = try #require(TensorPair(first, second, tileElements: tile))
    #expect(pair.units == (tile > 990 ? 1 : 30 / max(1, tile / 33)))
    let sums = try [1, 4].map {
      try ComparisonExecutor(pairs: [pair], threads: $0, progress: nil).run()[0]
    }
    let numbers = sums.map { TensorNumbers(pair, $0) }
    #expect(numbers[0] == numbers[1])
    let twin = NumbersTwin(a.values, b.values, columns: 33)
    #expect(twin.agrees(with: try #require(numbers[0])))
  }

  /// The change of one bit is found, wherever it is, and nothing else.
  @Test func everyByteCounts() throws {
    let scratch = try Scratch()
    let tensors: [String: StoredTensor] = [
      "bf16": .stored(.bf16, [3, 4], Array(repeating: 1, count: 12)),
      "vector": .stored(.f32, [5], [1, 2, 3, 4, 5]),
      "scalar": .stored(.f16, [], [2]),
      "bytes": .integers(.u8, [3], [1, 2, 3] as [UInt8]),
      "scales": StoredTensor(dtype: .f8e8m0, shape: [4], bytes: [1, 2, 3, 4]),
      "packed": StoredTensor(dtype: .f4, shape: [3, 2], bytes: [0x12, 0x34, 0x56]),
      "ids": .integers(.i64, [2], [1, 1 << 60] as [Int64]),
      "empty": StoredTensor(dtype: .f32, shape: [0, 4], bytes: []),
    ]
    let path = scratch.file("a.safetensors")
    try writeFile(path, tensors)
    #expect(try diff(path, path).isIdentical)
    #expect(try diff(path, path).tensors.equal == tensors.count)
    for (name, tensor) in tensors where !tensor.bytes.isEmpty {
      for index in tensor.bytes.indices {
        var changed = tensors
        changed[name]?.bytes[index] ^= 1
        try writeFile(scratch.file("b.safetensors"), changed)
        let report = try diff(path, scratch.file("b.safetensors"))
        #expect(report.tensors.changed.map(\.tensor) == [name])
        #expect(!report.isIdentical && report.tensors.equal == tensors.count - 1)
        if let numbers = report.tensors.changed.first?.numbers {
          #expect(numbers.differing == 1, "\(name) \(index)")
        } else {
          #expect(["scales", "packed"].contains(name))
        }
      }
    }
  }

  @Test func namesTypesAndShapes() throws {
    let scratch = try Scratch()
    let values: [Float] = [1, 2, 3, 0.1, 0.2, 0.3]
    try writeFile(
      scratch.file("a.safetensors"),
      [
        "layers.2.w": .stored(.f32, [2, 3], values), "shape": .stored(.f32, [2, 3], values),
        "dtype": .stored(.f32, [2, 3], values), "layers.10.w": .stored(.f32, [1], [1]),
      ])
    try writeFile(
      scratch.file("b.safetensors"),
      [
        "shape": .stored(.f32, [3, 2], values), "dtype": .stored(.bf16, [2, 3], values),
        "new": .stored(.f32, [1], [1]),
      ])
    let report = try diff(scratch.file("a.safetensors"), scratch.file("b.safetensors"))
    #expect(report.tensors.onlyInA == ["layers.2.w", "layers.10.w"])
    #expect(report.tensors.onlyInB == ["new"])
    #expect(report.tensors.changed.map(\.tensor) == ["dtype", "shape"])
    let dtype = try #require(report.tensors.changed[0].numbers)
    let rounded = ElementType.bf16.widened(ElementType.bf16.rounded(values))
    #expect(dtype.distanceType == .f32)
    #expect(
      dtype.distance
        == zip(values, rounded).map { abs(Int($0.bitPattern) - Int($1.bitPattern)) }.max())
    #expect(dtype.maximum == zip(values, rounded).map { Double(abs($0 - $1)) }.max())
    #expect(report.tensors.changed[1].numbers == nil)
    #expect(report.tensors.changed[1].a.shape == [2, 3])
    // The same numbers in another type are a difference, and none within a tolerance.
    let exact: [Float] = [1, 2, -0.5, 4]
    try writeFile(scratch.file("c.safetensors"), ["w": .stored(.f32, [2, 2], exact)])
    try writeFile(scratch.file("d.safetensors"), ["w": .stored(.f16, [2, 2], exact)])
    #expect(!(try diff(scratch.file("c.safetensors"), scratch.file("d.safetensors")).isIdentical))
    let within = try diff(scratch.file("c.safetensors"), scratch.file("d.safetensors")) {
      $0.tolerance = 0
    }
    #expect(within.isIdentical && within.tensors.equal == 1)
  }

  @Test func toleranceIsRelativeToTheNormOfA() throws {
    let scratch = try Scratch()
    // ‖A‖ = 5, ‖A − B‖ = 0.5.
    try writeFile(scratch.file("a.safetensors"), ["w": .stored(.f32, [1, 2], [3, 4])])
    try writeFile(scratch.file("b.safetensors"), ["w": .stored(.f32, [1, 2], [3, 4.5])])
    for (tolerance, same) in [(0.0999, false), (0.1, true), (0.2, true)] {
      let report = try diff(scratch.file("a.safetensors"), scratch.file("b.safetensors")) {
        $0.tolerance = tolerance
      }
      #expect(report.isIdentical == same, "\(tolerance)")
    }
  }

  @Test func infinitiesAndNaNs() throws {
    let scratch = try Scratch()
    let quiet = Float(bitPattern: 0x7FC0_0001)
    let a: [Float] = [1, .nan, .infinity, .infinity, 2, .nan, 3, 0]
    let b: [Float] = [1, quiet, .infinity, -.infinity, .nan, 7, 3.5, -0.0]
    try writeFile(scratch.file("a.safetensors"), ["w": .stored(.f32, [2, 4], a)])
    try writeFile(scratch.file("b.safetensors"), ["w": .stored(.f32, [2, 4], b)])
    let report = try diff(scratch.file("a.safetensors"), scratch.file("b.safetensors")) {
      $0.tolerance = 1e9
    }
    // No tolerance makes a number of what is none.
    let numbers = try #require(report.tensors.changed.first?.numbers)
    #expect(numbers.notFinite == 5 && numbers.mismatched == 3 && numbers.differing == 6)
    #expect(numbers.maximum == 0.5 && numbers.mean == 0.5 / 3)
    #expect(numbers.normA == 10.0.squareRoot() && numbers.differenceNorm == 0.5)
    #expect(numbers.distance == 1 << 21)
    // Signed zeros have different bytes and the same value.
    try writeFile(scratch.file("a.safetensors"), ["w": .stored(.f32, [1], [0])])
    try writeFile(scratch.file("b.safetensors"), ["w": .stored(.f32, [1], [-0.0])])
    let zeros = try diff(scratch.file("a.safetensors"), scratch.file("b.safetensors"))
    #expect(zeros.tensors.changed.first?.numbers?.relativeNorm == 0)
    #expect(zeros.tensors.changed.first?.numbers?.cosine == nil)
  }

  @Test func wideTypes() throws {
    let scratch = try Scratch()
    let tensors: [(String, StoredTensor, StoredTensor, maximum: Double, distance: Int)] = [
      ("f64", .f64([2], [1, -4]), .f64([2], [(1 as Double).nextUp, -4]), 0x1p-52, 1),
      ("signs", .f64([1], [5e-324]), .f64([1], [-5e-324]), 1e-323, 2),
      (
        "i64", .integers(.i64, [2], [1 << 60, 0] as [Int64]),
        .integers(.i64, [2], [1 << 60 + 1, 0] as [Int64]), 1, 1
      ),
      (
        "u64", .integers(.u64, [1], [UInt64.max]), .integers(.u64, [1], [0 as UInt64]), 0x1p64, .max
      ),
      (
        "i8", .integers(.i8, [2], [-128, 5] as [Int8]), .integers(.i8, [2], [127, 5] as [Int8]),
        255, 255
      ),
      ("bool", .integers(.bool, [1], [0 as UInt8]), .integers(.bool, [1], [1 as UInt8]), 1, 1),
      (
        "f8", .integers(.f8e4m3, [2], [0x38, 0x7F] as [UInt8]),
        .integers(.f8e4m3, [2], [0xB8, 0x7F] as [UInt8]), 2, 0x70
      ),
    ]
    for (name, a, b, maximum, distance) in tensors {
      try writeFile(scratch.file("a.safetensors"), [name: a])
      try writeFile(scratch.file("b.safetensors"), [name: b])
      let report = try diff(scratch.file("a.safetensors"), scratch.file("b.safetensors"))
      let numbers = try #require(report.tensors.changed.first?.numbers)
      #expect(numbers.maximum == maximum, "\(name)")
      #expect(numbers.distance == distance, "\(name)")
    }
  }

  /// What GPT-2 stores `in × out` has the ΔM and ΔD of the same weight stored `out × in`.
  @Test func transposedWeights() throws {
    let scratch = try Scratch()
    var random = Numbers(seed: 41)
    let (a, b) = (random.floats(6 * 5), random.floats(6 * 5))
    for (name, values) in [("a", a), ("b", b)] {
      try writeModel(
        scratch.file(name), config: ["model_type": "gpt2"],
        [
          "h.0.attn.c_attn.weight": .f32([6, 5], values),
          "plain.weight": .f32([5, 6], transpose(values, rows: 6, columns: 5)),
        ])
    }
    let report = try diff(scratch.file("a"), scratch.file("b"))
    let turned = try #require(report.numbers("h.0.attn.c_attn.weight"))
    let plain = try #require(report.numbers("plain.weight"))
    for (x, y) in [
      (turned.magnitudeChange, plain.magnitudeChange),
      (turned.directionChange, plain.directionChange),
    ] {
      #expect(abs(try #require(x) - #require(y)) < 1e-14)
    }
  }

  @Test func rowsOfZeros() throws {
    let scratch = try Scratch()
    try writeFile(scratch.file("a.safetensors"), ["w": .f32([3, 2], [0, 0, 0, 0, 3, 4])])
    try writeFile(scratch.file("b.safetensors"), ["w": .f32([3, 2], [0, 0, 3, 4, -6, -8])])
    let report = try diff(scratch.file("a.safetensors"), scratch.file("b.safetensors"))
    let numbers = try #require(report.numbers("w"))
    #expect(numbers.magnitudeChange == 10.0 / 3)
    #expect(numbers.directionChange == 1)  // 0, 1 and 2
  }

  @Test func patternsAndOrders() throws {
    let scratch = try Scratch()
    let names = ["model.layers.0.mlp.weight", "model.layers.10.mlp.weight", "model.norm.weight"]
    func tensors(_ change: Float) -> [String: StoredTensor] {
      Dictionary(
        uniqueKeysWithValues: names.enumerated().map { index, name in
          (name, .f32([1, 2], [1, 1 + change * Float(index + 1)]))
        })
    }
    try writeFile(scratch.file("a.safetensors"), tensors(0))
    try writeFile(scratch.file("b.safetensors"), tensors(0.5))
    let (a, b) = (scratch.file("a.safetensors"), scratch.file("b.safetensors"))
    func found(_ change: (inout DiffRequest) -> Void) throws -> [String] {
      try diff(a, b, change).tensors.changed.map(\.tensor)
    }
    #expect(try found { _ in } == names)
    #expect(try found { $0.included = [Glob("*.mlp.*")] } == Array(names[..<2]))
    #expect(try found { $0.excluded = [Glob("*.1?.*"), Glob("*norm*")] } == [names[0]])
    #expect(throws: DiffError.nothingSelected) { try found { $0.included = [Glob("x*")] } }
    let report = try diff(a, b)
    for order in DiffOrder.allCases where order != .name {
      #expect(
        order.sorted(report.tensors.changed).map(\.tensor) == names.reversed(), "\(order)")
    }
    let points = try report.tensors.changed.map {
      (try #require($0.numbers?.magnitudeChange), try #require($0.numbers?.directionChange))
    }
    func sum(_ term: (Double, Double) -> Double) -> Double {
      points.reduce(0) { $0 + term($1.0, $1.1) }
    }
    let (x, y) = (sum { x, _ in x }, sum { _, y in y })
    let expected =
      (3 * sum { $0 * $1 } - x * y)
      / ((3 * sum { x, _ in x * x } - x * x) * (3 * sum { _, y in y * y } - y * y)).squareRoot()
    let correlation = try #require(report.tensors.magnitudeDirectionCorrelation)
    #expect(abs(correlation - expected) < 1e-9 && correlation < 0.9999)
  }

  @Test func globs() {
    let cases: [(String, String, Bool)] = [
      ("*", "", true), ("a*b*c", "axxbyyc", true), ("a*b*c", "axxbyy", false), ("?", "ab", false),
      ("*.weight", "model.a.weight", true), ("*ab", "aab", true), ("a.b", "axb", false),
      ("**x", "x", true), ("", "", true), ("", "a", false), ("*aab*", "aaab", true),
    ]
    for (pattern, name, matches) in cases {
      #expect(Glob(pattern).matches(name) == matches, "\(pattern) \(name)")
    }
  }
}
