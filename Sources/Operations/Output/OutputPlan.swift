import Safetensors

/// What an operation will write: every file, every tensor, and where each one's bytes come from.
struct OutputPlan: Sendable {
  /// One `.safetensors` file.
  struct Shard: Sendable {
    let name: String
    let layout: SafetensorsLayout
    /// The sources of the layout's tensors, in the layout's order.
    let sources: [any TensorSource]
  }

  let shards: [Shard]

  /// Bytes of all files, headers included.
  var fileBytes: Int { shards.reduce(0) { $0 + $1.layout.fileSize } }
}

/// A tensor of the output before it is known which file it goes to.
struct PlannedTensor: Sendable {
  let name: String
  let dtype: DType
  let shape: [Int]
  let source: any TensorSource
}

extension PlannedTensor {
  var byteCount: Int {
    get throws { try dtype.byteCount(of: shape) }
  }
}
