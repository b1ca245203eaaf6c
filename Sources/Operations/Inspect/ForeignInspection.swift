import Adapters
import Safetensors

/// What a file of another program holds, from its headers: `convert` makes a PEFT adapter of it.
public struct ForeignInspection: Sendable {
  public let path: String
  public let scheme: NamingScheme
  public let tensors: Int
  /// Elements of the factors and magnitudes; α is none.
  public let parameters: Int

  /// Nil where `path` is something else: a PEFT adapter, a model.
  public init?(path: String) {
    guard let source = try? AdapterSource(path: path), let scheme = source.scheme else {
      return nil
    }
    let tensors = source.weights.header.tensors
    self.path = path
    self.scheme = scheme
    self.tensors = tensors.count
    parameters = tensors.filter { !$0.name.hasSuffix(".alpha") }
      .reduce(0) { $0 + $1.shape.reduce(1, *) }
  }

  /// The file is a whole model, with an adapter in it.
  public var isModel: Bool { scheme == .oneLoRAListing }
}
