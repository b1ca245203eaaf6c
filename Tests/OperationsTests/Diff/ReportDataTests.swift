import Foundation
import Kernels
import Safetensors
import Testing

@testable import Operations

/// What the charts of a report show.
@Suite struct ReportDataTests {
  /// A change of known singular values: estimated by projections, and exactly where a side is short.
  @Test(arguments: [(90, 70), (70, 90), (90, 20)])
  func spectrum(_ rows: Int, _ columns: Int) throws {
    let scratch = try Scratch()
    var random = Numbers(seed: 60)
    let base = random.floats(rows * columns)
    // Four strong directions over noise.
    var change = random.floats(rows * columns).map { 0.01 * $0 }
    for strength in [3, 2, 1, 0.5] as [Float] {
      let (left, right) = (random.floats(rows), random.floats(columns))
      for row in 0..<rows {
        for column in 0..<columns {
          change[row * columns + column] += strength * left[row] * right[column]
        }
      }
    }
    let tuned = zip(base, change).map { $0 + $1 }
    try writeFile(scratch.file("a.safetensors"), ["w": .f32([rows, columns], base)])
    try writeFile(scratch.file("b.safetensors"), ["w": .f32([rows, columns], tuned)])
    let report = try diff(scratch.file("a.safetensors"), scratch.file("b.safetensors")) {
      $0.spectra = 8
    }
    let spectrum = try #require(report.spectra.first)
    let stored = zip(base, tuned).map { $1 - $0 }
    let exact = SingularValues(DenseMatrix(rows: rows, columns: columns, stored)).values
    #expect(spectrum.values.count == 16)
    #expect(spectrum.isEstimate == (min(rows, columns) > 64))
    for (index, (found, wanted)) in zip(spectrum.values, exact).enumerated() {
      #expect(found <= wanted * (1 + 1e-5), "\(index): \(found) \(wanted)")
      // The strong ones to the precision of f32, the others within a few per cent.
      #expect(found >= wanted * (index < 4 ? 1 - 1e-5 : 0.93), "\(index): \(found) \(wanted)")
    }
    let again = try diff(scratch.file("a.safetensors"), scratch.file("b.safetensors")) {
      $0.spectra = 1
      $0.threads = 1
    }
    #expect(again.spectra.first == spectrum)
  }

  @Test func maps() {
    func item(_ name: String, _ difference: Double, _ reference: Double) -> ChangeMap.Item {
      ChangeMap.Item(name: name, differenceSquared: difference, referenceSquared: reference)
    }
    let maps = ChangeMap.maps(of: [
      item("model.layers.10.q_proj.weight", 4, 16), item("model.layers.2.q_proj.weight", 0, 9),
      item("model.layers.2.mlp.experts.0.w1.weight", 1, 8),
      item("model.layers.2.mlp.experts.1.w1.weight", 1, 0),
      item("model.layers.2.q_proj.bias", 1, 0), item("model.norm.weight", 1, 1),
      item("vision.blocks.0.fc", 9, 1), item("layers", 1, 1),
    ])
    #expect(
      maps == [
        ChangeMap(
          prefix: "model.layers", kinds: ["mlp.experts.*.w1", "q_proj", "q_proj.bias"],
          layers: [2, 10], cells: [[0.5, nil], [0, 0.5], [nil, nil]]),
        ChangeMap(prefix: "vision.blocks", kinds: ["fc"], layers: [0], cells: [[3]]),
      ])
  }

  @Test func histograms() {
    #expect(ChangeHistogram([]).counts.isEmpty)
    #expect(ChangeHistogram([0, .infinity, .nan]).counts.isEmpty)
    let even = ChangeHistogram([0.31, 0.3, 0.395, 0.35, 0.35])
    #expect(even.edges.first == 0.3 && even.edges.allSatisfy { $0 == Double("\($0)") })
    #expect(even.edges == stride(from: 30, through: 40, by: 1).map { Double($0) / 100 })
    #expect(even.counts == [1, 1, 0, 0, 0, 2, 0, 0, 0, 1])
    let wide = ChangeHistogram([1e-5, 2e-5, 0.5, 0.05])
    #expect(wide.counts.reduce(0, +) == 4 && wide.counts.first == 2 && wide.counts.last == 1)
    #expect(wide.edges.count == wide.counts.count + 1)
    for values in [[1.0], [1e-300], [5e-324, 1e300], [7, (7 as Double).nextUp], [0.1, 0.999]] {
      let histogram = ChangeHistogram(values)
      #expect(histogram.counts.reduce(0, +) == values.count, "\(values)")
      #expect(zip(histogram.edges, histogram.edges.dropFirst()).allSatisfy { $0 < $1 })
    }
  }
}
