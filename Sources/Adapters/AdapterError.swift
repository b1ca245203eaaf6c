import Kernels
import Safetensors

/// Why an adapter cannot be read, or does not fit its base. Facts only: the command line words them.
public enum AdapterError: Error, Sendable {
  /// There is no file or folder at `path`.
  case notFound(path: String)
  /// The folder has no `adapter_config.json`.
  case noConfiguration(folder: String)
  /// The folder has a configuration and no weights.
  case noWeights(folder: String)
  /// The weights are a pickle (`adapter_model.bin`), which is not read.
  case pickle(path: String)
  /// A `.safetensors` file that is not an adapter container.
  case notAContainer(path: String)
  /// A container of a format version that is not known.
  case containerVersion(path: String, version: String)
  /// The container's metadata cannot be read.
  case containerMetadata(path: String, key: String, reason: String)
  /// A tensor's bytes do not have the CRC-32 that the container states.
  case checksum(path: String, tensor: String, stated: UInt32, found: UInt32)
  /// `adapter_config.json` is not what it should be.
  case configuration(path: String, reason: String)
  /// No method has this `peft_type`.
  case unknownMethod(path: String, peftType: String)
  /// A setting has a value that would change the numbers and is not supported.
  case unsupportedSetting(path: String, name: String, value: String)
  /// A setting that is not known has a value that might change the numbers.
  case unknownSetting(path: String, name: String, value: String)
  /// Tensors that belong to nothing the adapter's method knows.
  case unknownTensors(path: String, names: [String])
  /// Two tensors stand for the same parameter.
  case duplicateParameter(path: String, names: [String])
  /// A module's tensors do not suit its method or its layer.
  case module(path: String, module: String, tensor: String?, error: MethodError)
  /// Modules that match no tensor of the base.
  case unmatched(path: String, modules: [Unmatched], total: Int)
  /// A tensor of the base has an element type that cannot be adapted.
  case elementType(tensor: String, dtype: DType)
  /// A replacement does not have the shape of the tensor that it replaces.
  case replacementShape(path: String, tensor: String, found: [Int], base: [Int])
  /// Token ids of `trainable_token_indices` do not suit the tensor or the base.
  case tokenRows(path: String, tensor: String, reason: String)
  /// A `layer_replication` that does not suit the base.
  case layerReplication(path: String, reason: String)

  /// An adapter module that found no base tensor.
  public struct Unmatched: Sendable, Equatable {
    /// The adapter's tensor, as its file names it.
    public var tensor: String
    /// The base tensor whose name is nearest.
    public var nearest: String?

    public init(tensor: String, nearest: String?) {
      self.tensor = tensor
      self.nearest = nearest
    }
  }
}
