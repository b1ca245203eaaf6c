import Safetensors
import Testing

@testable import Operations

/// Merges of real adapters equal what PEFT itself makes of them.
@Suite struct GoldenMergeTests {
  /// PEFT rounds the change of embeddings and of bare parameters to the stored type before it adds it;
  /// here there is one rounding. The results may differ by that first one.
  static let roundedTwice = ["lora_embed", "lora_params"]

  @Test(arguments: Fixture.merges)
  func mergeEqualsPEFT(_ name: String) throws {
    let scratch = try Scratch()
    let out = scratch.file("out")
    let plan = try MergePlan(
      MergeRequest(
        base: Fixture.base(of: name), adapters: [WeightedAdapter(path: Fixture.path(name))],
        output: out, threads: 2))
    let report = try MergeOperation(plan).run()
    let merged = try readModel(out)
    let base = try readModel(Fixture.base(of: name))
    let expected = try readModel(Fixture.path(name + "/expected_changed.safetensors"))

    #expect(Set(merged.keys) == Set(base.keys).union(expected.keys))
    for (tensor, stored) in base where expected[tensor] == nil {
      #expect(merged[tensor] == stored, "\(tensor) should be as in the base")
    }
    for (tensor, wanted) in expected {
      let found = try #require(merged[tensor])
      #expect(found.dtype == wanted.dtype && found.shape == wanted.shape)
      let twice = Self.roundedTwice.contains { name.hasSuffix($0) }
      expectEqual(
        found, wanted, base: twice ? base[tensor] : nil, "\(name): \(tensor)")
    }
    #expect(Set(report.changes.map(\.tensor)) == Set(plan.changed))
  }

  /// Within one unit in the last place, or 2⁻²⁰ of the largest weight where the sum cancels; f32 within
  /// 2e-6 of the largest weight. With `base`, PEFT's rounding of the change is allowed for as well.
  private func expectEqual(
    _ found: StoredTensor, _ wanted: StoredTensor, base: StoredTensor?, _ title: String
  ) {
    let (a, b) = (found.values, wanted.values)
    let (foundPlaces, wantedPlaces) = (found.places, wanted.places)
    let w0 = base?.values
    let largest = b.map(abs).max() ?? 0
    for index in a.indices {
      if found.dtype == .f32 {
        guard abs(a[index] - b[index]) > 2e-6 * largest else { continue }
      } else {
        if abs(foundPlaces[index] - wantedPlaces[index]) <= 1 { continue }
        if abs(a[index] - b[index]) <= largest * 0x1p-20 { continue }
        let precision = found.dtype == .bf16 ? 0x1p-8 : 0x1p-11
        if let w0 {
          let change = abs(b[index] - w0[index])
          let bound = precision * (2 * change + 2 * abs(b[index]))
          if abs(a[index] - b[index]) <= bound { continue }
        }
      }
      Issue.record("\(title)[\(index)]: \(a[index]), expected \(b[index])")
      return
    }
  }
}
