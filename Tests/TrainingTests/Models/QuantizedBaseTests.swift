import Adapters
import Foundation
import Kernels
import Operations
import Testing

@testable import Training

/// Training on a quantized base: the same bits as on the base that it decodes to.
@Suite struct QuantizedBaseTests {
  /// A folder of its own for a test; removed at its end.
  private func withFolder(_ body: (_ path: (String) -> String) throws -> Void) throws {
    let folder = FileManager.default.temporaryDirectory.appending(
      path: "peft-tool-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    try body { folder.appending(path: $0).path }
  }

  /// Logits, loss and gradients of a step, in bits.
  private func step(_ adapted: AdaptedModel, _ peer: PeerCase) throws -> [[UInt32]] {
    let input = try adapted.model.input(try peer.batch())
    let logits = adapted.model.logits(input)
    adapted.parameters.clearGradients()
    let loss = adapted.model.loss(input, factor: 0.25)
    return [
      logits.map(\.bitPattern), adapted.parameters.gradients.values.map(\.bitPattern),
      [Float(loss).bitPattern],
    ]
  }

  static let cases: [(PeerCase, QuantizationScheme.Kind)] = [
    (PeerCase(family: "llama", name: "lora"), .nf4),
    (PeerCase(family: "llama", name: "dora"), .int8),
    (PeerCase(family: "llama", name: "vera"), .fp4),
    (PeerCase(family: "gpt2", name: "dora"), .nf4),
    (PeerCase(family: "gpt2", name: "lora"), .int8),
    (PeerCase(family: "bert", name: "lora"), .nf4),
    (PeerCase(family: "vit", name: "dora"), .nf4),
  ]

  /// - Parameter keepsHead: the head stays as it is, as when a model is quantized while loading.
  private func sameBits(
    _ peer: PeerCase, _ scheme: QuantizationScheme, keepsHead: Bool
  ) throws {
    try withFolder { path in
      var request = QuantizeRequest(
        model: peer.base, output: path("packed"), scheme: scheme, threads: 1)
      if keepsHead {
        request.skip =
          ["bert": ["classifier", "pooler.dense"], "vit": ["classifier"]][peer.family] ?? []
      }
      _ = try QuantizeOperation(request).run()
      var unpacking = DequantizeRequest(model: path("packed"), output: path("plain"), threads: 1)
      unpacking.element = .f32
      _ = try DequantizeOperation(DequantizePlan(unpacking)).run()

      let expected = try step(try peer.model(in: path("plain")), peer)
      var models = [try peer.model(in: path("packed"))]
      if keepsHead { models.append(try peer.model(quantization: scheme)) }
      for adapted in models {
        for linear in adapted.model.blocks.flatMap(\.linears) {
          #expect(linear.weight.isQuantized, "\(linear.path)")
        }
        #expect(try step(adapted, peer) == expected)
      }
    }
  }

  @Test(arguments: cases)
  func sameBits(peer: PeerCase, kind: QuantizationScheme.Kind) throws {
    try sameBits(peer, try QuantizationScheme(kind), keepsHead: true)
  }

  /// A head that the checkpoint has quantized is unpacked: it is trained here.
  @Test func quantizedHead() throws {
    try sameBits(
      PeerCase(family: "bert", name: "lora"), try QuantizationScheme(.nf4), keepsHead: false)
  }

  @Test func scalesInFullPrecision() throws {
    try sameBits(
      PeerCase(family: "llama", name: "lora"),
      try QuantizationScheme(.nf4, blockSize: 128, doubleQuantized: false), keepsHead: true)
  }

  @Test func refusals() throws {
    let peer = PeerCase(family: "llama", name: "lora")
    let scheme = try QuantizationScheme(.nf4)
    try withFolder { path in
      _ = try QuantizeOperation(
        QuantizeRequest(model: peer.base, output: path("packed"), scheme: scheme, threads: 1)
      ).run()
      #expect(throws: ModelError.alreadyQuantized(path: path("packed"))) {
        try peer.model(in: path("packed"), quantization: scheme)
      }
    }
    let model = try peer.model(quantization: scheme).model
    let weight = try #require(model.linears.first?.weight)
    #expect(throws: MethodError.self) { try AdaptedModel(model, adapters: [], tensors: [weight]) }
  }
}
