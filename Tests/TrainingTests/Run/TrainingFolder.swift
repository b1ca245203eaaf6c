import Foundation
import Safetensors
import Testing

@testable import Training

/// A folder for the outputs of a test's runs, and the small models of Fixtures/training.
final class TrainingFolder {
  let path: String

  init() throws {
    let folder = FileManager.default.temporaryDirectory
      .appending(path: "training-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    path = folder.path
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  func file(_ name: String) -> String { FileSystem.join(path, name) }

  func bytes(_ name: String) throws -> [UInt8] { try InputFile(path: file(name)).readAll() }

  static func fixture(_ path: String) -> String {
    PeerCase.root.appending(path: path).path
  }

  /// A run of three steps on the model of `family`.
  func request(
    _ family: String, _ output: String, _ change: (inout TrainingRequest) -> Void = { _ in }
  ) -> TrainingRequest {
    var request = TrainingRequest(
      base: Self.fixture("\(family)/base"), data: Self.fixture("\(family)/data.safetensors"),
      output: file(output))
    request.length = .steps(3)
    request.batchSize = 2
    request.learningRate = 1e-2
    request.targets = .allLinear
    request.threads = 2
    change(&request)
    return request
  }

  /// Runs it; returns the losses.
  @discardableResult
  func train(_ request: TrainingRequest) throws -> [Double] {
    var losses: [Double] = []
    _ = try TrainingRun(request).run { step, _ in
      losses.append(step.loss)
      return .goOn
    }
    return losses
  }
}
