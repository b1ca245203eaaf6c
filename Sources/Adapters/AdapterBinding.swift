import Kernels
import Safetensors

/// An adapter matched to a base: which base tensor each of its parts changes. Decided from headers
/// alone; every tensor of the adapter is accounted for, or it is an error.
public struct AdapterBinding: Sendable {
  public let contents: AdapterContents
  /// Adapted layers.
  public let modules: [BoundModule]
  /// Tensors that are replaced whole, or added where the base does not have them.
  public let replacements: [BoundReplacement]
  /// Rows of embeddings that are replaced.
  public let tokenRows: [BoundTokenRows]
  /// Adapter tensors that found no base tensor; empty unless the caller allowed them.
  public let unused: [AdapterError.Unmatched]
  /// The head that this adapter separates from the input embedding; nil where it stays tied.
  public let untiedHead: UntiedHead?

  /// Modules that the configuration targets and that the adapter has no tensors for.
  public let untouchedTargets: [String]

  /// All adapted layers, in the order of registration.
  public var layers: [LayerGeometry] {
    modules.map(\.layer).sorted { RegistrationOrder.precedes($0.module, $1.module) }
  }
}

/// A module on the base tensor that it adapts.
public struct BoundModule: Sendable {
  public let module: AdaptedModule
  public let layer: LayerGeometry
  public let summary: ModuleSummary
  /// The weight in the output. It is read from `source`.
  public let weight: String
  public let source: BaseModel.Tensor
  /// The bias in the output: the base's, or the one that the method creates.
  public let bias: String?
  /// The part of a fused parameter that this tensor is; nil for a whole layer.
  public let expert: ExpertSlice?
  /// How often the change is applied: twice on a MultiheadAttention's `out_proj`, as PEFT does in
  /// training and in merging.
  public let repeats: Int
}

/// A base tensor replaced by one of the adapter's.
public struct BoundReplacement: Sendable {
  public let replacement: Replacement
  /// The tensor in the output.
  public let name: String
  /// The base tensor; nil where the base has none.
  public let base: BaseModel.Tensor?
}

public struct BoundTokenRows: Sendable {
  public let rows: TokenRows
  public let base: BaseModel.Tensor
}

/// An output head that was the input embedding and becomes a tensor of its own.
public struct UntiedHead: Sendable, Equatable {
  /// The head in the output: `lm_head.weight`.
  public let head: String
  /// The embedding that it was.
  public let embedding: String

  public init(head: String, embedding: String) {
    self.head = head
    self.embedding = embedding
  }
}
