import Foundation
import Kernels
import Testing

@testable import Training

/// Gradient checkpointing (Chen et al. 2016): what is computed again is the same.
@Suite struct RecomputationTests {
  private func step(
    _ peer: PeerCase, recomputes: Bool, dropout: Double
  ) throws -> (gradients: [UInt32], loss: Double, peak: Int, kept: Int) {
    let adapted = try peer.model()
    adapted.model.recomputesBlocks = recomputes
    if dropout > 0 {
      adapted.model.context.dropout = LayerContext.Dropout(probability: dropout, seed: 9)
    }
    let loss = adapted.model.loss(try adapted.model.input(try peer.batch()), factor: 0.1)
    return (
      adapted.parameters.gradients.values.map(\.bitPattern), loss,
      adapted.model.context.workspace.peak,
      Dictionary(
        adapted.adapters.map { (ObjectIdentifier($0.adapter.kept), $0.adapter.kept.count) },
        uniquingKeysWith: { first, _ in first }
      ).values.reduce(0, +)
    )
  }

  @Test(arguments: PeerCase.all, [0, 0.3])
  func sameBits(peer: PeerCase, dropout: Double) throws {
    let plain = try step(peer, recomputes: false, dropout: dropout)
    let again = try step(peer, recomputes: true, dropout: dropout)
    #expect(plain.gradients == again.gradients)
    #expect(plain.loss == again.loss)
    #expect(plain.gradients.contains { $0 & 0x7fff_ffff != 0 })
    #expect(again.peak < plain.peak, "\(again.peak) \(plain.peak)")
    #expect(again.kept <= plain.kept && (plain.kept == 0 || again.kept < plain.kept))
  }
}
