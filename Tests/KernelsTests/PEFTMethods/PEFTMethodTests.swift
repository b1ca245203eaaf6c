import Foundation
import Testing

@testable import Kernels

/// Every method against PEFT's own merges.
@Suite struct PEFTMethodTests {
  @Test func casesAreThere() {
    #expect(PEFTCase.all.count > 150)
  }

  @Test(arguments: PEFTCase.all)
  func mergesAsPEFT(_ name: String) throws {
    let test = try PEFTCase(name)
    var unexplained = Set(test.expected.keys)
    for module in test.modules {
      let adapter = AdapterModule(
        layer: module.layer, settings: module.settings, tensors: module.tensors,
        context: test.context)
      let method = try module.method.init(adapter)
      let summary = try module.method.examine(
        adapter.tensors.mapValues(\.shape), settings: module.settings, layer: module.layer)
      let update = try method.weightUpdate()
      #expect(summary.changesWeight == (update != nil), "\(module.layer.module)")
      #expect(summary.changesBias == (try method.biasUpdate() != nil), "\(module.layer.module)")
      #expect(summary.notMergeable == nil)

      let stored = try #require(test.base[module.weight])
      if let update {
        let merged = try apply(update, to: stored, of: module.layer)
        try compare(merged, test.expected[module.weight] ?? stored, module.weight)
        unexplained.remove(module.weight)
      }
      if let update = try method.biasUpdate(), let bias = test.base[module.bias] {
        var values = bias.reals
        try update.apply(to: &values, weight: MatrixSource(stored, of: module.layer))
        try compare(values, test.expected[module.bias] ?? bias, module.bias)
        unexplained.remove(module.bias)
      }
    }
    #expect(unexplained.isEmpty, "not changed: \(unexplained)")
  }

  /// PEFT's own count, except where the file no longer holds what was trained; in bf16 PEFT counts a
  /// number of AdaLoRA's that is not trained.
  @Test(arguments: PEFTCase.all.filter { !["adalora.pruned", "adalora.bf16"].contains($0) })
  func countsAsPEFT(_ name: String) throws {
    let test = try PEFTCase(name)
    var count = 0
    for module in test.modules {
      count += try module.method.examine(
        module.tensors.mapValues(\.shape), settings: module.settings, layer: module.layer
      ).trainableParameters
    }
    let shared = test.modules.first?.method.descriptor.trainableShared ?? []
    for (name, tensor) in test.shared
    where shared.contains(where: { $0.hasSuffix(".") ? name.hasPrefix($0) : name == $0 }) {
      count += tensor.count
    }
    #expect(count == test.trained)
  }

  /// What a file holds is what the method's description lists.
  @Test(arguments: PEFTCase.all)
  func describesItsTensors(_ name: String) throws {
    let test = try PEFTCase(name)
    func isListed(_ name: String, _ lists: [[String]]) -> Bool {
      lists.joined().contains { $0.hasSuffix(".") ? name.hasPrefix($0) : name == $0 }
    }
    let common: Set = [
      "auto_mapping", "base_model_name_or_path", "bias", "exclude_modules", "inference_mode",
      "layers_pattern", "layers_to_transform", "modules_to_save", "peft_type", "peft_version",
      "revision", "target_modules", "task_type", "ensure_weight_tying", "layer_replication",
    ]
    var settings: Set<String> = []
    for method in MethodRegistry.methods(peftType: test.peftType) {
      settings.formUnion(method.descriptor.settings + method.descriptor.trainingSettings)
      settings.formUnion(method.descriptor.patterns.map(\.table))
    }
    let unknown = test.settings.filter { $0.value != .null && !common.contains($0.key) }.keys
      .filter { !settings.contains($0) }
    #expect(unknown.isEmpty)
    for module in test.modules {
      let method = module.method.descriptor
      for leaf in module.tensors.keys {
        #expect(
          isListed(leaf, [method.leaves, method.frozenLeaves, method.ignoredLeaves]), "\(leaf)")
      }
      for name in test.shared.keys { #expect(isListed(name, [method.sharedTensors]), "\(name)") }
    }
  }

  /// Within one unit in the last place of the stored type, or, where sums cancel, within 2⁻²⁰ of the
  /// largest weight; in f32 within 2·10⁻⁶ of it.
  private func compare(_ found: [Float], _ expected: StoredTensor, _ name: String) throws {
    let values = expected.reals
    try #require(found.count == values.count)
    let largest = values.reduce(0) { max($0, abs($1)) }
    var worst: (excess: Float, index: Int) = (0, 0)
    for index in values.indices {
      // One unit in the last place and a half: `found` is not rounded yet.
      let error = abs(found[index] - values[index])
      let allowed =
        expected.dtype == "F32"
        ? 2e-6 * largest : max(1.5 * expected.ulp(at: values[index]), 0x1p-20 * largest)
      let excess = error.isNaN ? .infinity : error / allowed
      if excess > worst.excess { worst = (excess, index) }
    }
    let index = worst.index
    #expect(
      worst.excess <= 1,
      "\(name)[\(index)]: \(found[index]), PEFT \(values[index]), \(worst.excess) of the tolerance")
  }

  /// W' in f32, in the order of the stored tensor, by bands of different heights.
  private func apply(
    _ update: any WeightUpdate, to stored: StoredTensor, of layer: LayerGeometry
  ) throws -> [Float] {
    let source = MatrixSource(stored, of: layer)
    let dense = Dense(source.rows, source.columns, source.values.map { Double($0) })
    let result = try merged(
      update, dense, height: update.rowGranularity == .max ? 1 : update.rowGranularity * 2)
    #expect(try merged(update, dense, height: source.rows) == result)
    guard layer.storedTransposed else { return result }
    // Stored in × out: by the transposed update, direct or around the whole matrix.
    let turned = transpose(result, rows: source.rows, columns: source.columns)
    let direct = update.transposed() ?? TransposedUpdate(update)
    let found = try merged(direct, dense.transposed, height: source.columns)
    #expect(zip(found, turned).allSatisfy { abs($0 - $1) <= 2e-6 * max(1, abs($1)) })
    return turned
  }
}

/// A stored weight in the papers' orientation.
private struct MatrixSource: RowSource {
  let rows: Int
  let columns: Int
  let values: [Float]

  init(_ stored: StoredTensor, of layer: LayerGeometry) {
    let (first, rest) = (stored.shape[0], stored.shape.dropFirst().reduce(1, *))
    if layer.storedTransposed {
      (rows, columns) = (rest, first)
      values = transpose(stored.reals, rows: first, columns: rest)
    } else {
      (rows, columns) = (first, rest)
      values = stored.reals
    }
  }

  func read(into band: RowBand) {
    for row in band.rows {
      for column in 0..<columns { band[row][column] = values[row * columns + column] }
    }
  }
}
