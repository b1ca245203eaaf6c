import Adapters
import Kernels
import Safetensors

/// What an adapter is recognised by: its tensors and its configuration, in whichever format it is
/// stored.
struct AdapterIdentity: Sendable, Equatable {
  let tensors: Fingerprint
  /// CRC-32 of the configuration, serialized without white space.
  let configuration: UInt32

  init(tensors: Fingerprint, configuration: UInt32) {
    self.tensors = tensors
    self.configuration = configuration
  }

  init(_ adapter: AdapterFile) throws {
    let weights = adapter.weights
    tensors = Fingerprint(
      try weights.header.tensors.map { tensor in
        Fingerprint.Entry(
          name: tensor.name, dtype: tensor.dtype, shape: tensor.shape, bytes: tensor.byteCount,
          crc: try CRC32.of(weights.file, range: weights.absoluteRange(of: tensor)))
      })
    let text = JSONValue.object(adapter.config.json).serialized()
    configuration = Array(text.utf8).withUnsafeBytes { CRC32.of($0) }
  }
}
