import Kernels
import Testing

@testable import Operations

/// Every count of trained parameters printed in the 1LoRA paper (tables S2 to S12) and in the lecture
/// slides on fine-tuning that its comparison draws on. The tool counts; what the papers leave out or
/// add beyond the method is here.
@Suite("Figures of the papers")
struct PaperTablesTests {
  @Test("All 164 figures")
  func figures() throws {
    let figures =
      try OneLoRAPaper().figures + AdapterSlides().figures + DoRATables().figures
      + SBoRATables().figures
    for figure in figures {
      #expect(
        figure.found == figure.verdict,
        "\(figure.table), \(figure.row): printed \(figure.printed), counted \(figure.value)")
    }
    #expect(figures.count == 164)
    let exact = figures.filter { $0.verdict == .exact }
    #expect(exact.count { $0.assumption == nil } == 87)
    #expect(exact.count { $0.assumption != nil } == 62)
    #expect(figures.count { $0.verdict == .truncated } == 6)
    #expect(figures.count { $0.verdict == .discrepancy } == 6)
    #expect(figures.count { $0.verdict == .nominal } == 3)
  }
}

/// A model of a table with the layers that its methods adapt.
struct PaperBase {
  var shapes: ModelShapes
  var targets: TargetSelection

  init(_ name: String, _ targets: TargetSelection = .allLinear) throws {
    self.init(try EstimateFixtures.shapes(name), targets)
  }

  init(_ shapes: ModelShapes, _ targets: TargetSelection = .allLinear) {
    self.shapes = shapes
    self.targets = targets
  }

  /// Trained parameters.
  func count(
    _ method: String, rank: Int? = nil, on names: [String]? = nil,
    settings: [String: Setting] = [:]
  ) throws -> Int {
    try EstimateRequest(
      method: method, rank: rank, targets: names.map(TargetSelection.names) ?? targets,
      settings: settings
    ).report(shapes).trainableParameters
  }

  /// Trained parameters of MoRA with as many as 1LoRA has: r' is the root of `out`.
  func mora(_ method: String, _ kind: MoRA.Kind) throws -> Int {
    var total = 0
    for layer in try targets.select(from: shapes.layers, kinds: [.linear]) {
      let rank = MoRA.squareRank(budget: layer.geometry.outFeatures, kind: kind)
      total += try count(
        method, on: [layer.module], settings: ["mora_rank": .integer(rank)])
    }
    return total
  }

  var parameters: Int { shapes.parameterCount }
}
