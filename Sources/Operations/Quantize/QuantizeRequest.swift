import Adapters
import Kernels
import Safetensors

/// What a quantization is asked to do.
public struct QuantizeRequest: Sendable {
  public var model: String
  public var output: String
  public var scheme: QuantizationScheme
  /// Modules that are left alone besides those that transformers leaves alone: regular expressions that
  /// match a module's name from its start up to a dot, or ends of names.
  public var skip: [String] = []
  /// The element type that all weights are cast to first; nil keeps each tensor's own.
  public var element: ElementType?
  /// Bytes per shard; nil keeps the model's shards.
  public var maximumShardSize: Int?
  /// Worker threads. Never changes a byte of the output.
  public var threads: Int
  /// Replace an existing output.
  public var replacing = false

  public init(model: String, output: String, scheme: QuantizationScheme, threads: Int) {
    (self.model, self.output, self.scheme, self.threads) = (model, output, scheme, threads)
  }
}

/// What a quantization did.
public struct QuantizeReport: Sendable {
  public struct Tensor: Sendable {
    public let name: String
    /// √(mean (w − decoded)²) and max |w − decoded|.
    public let rootMeanSquareError: Double
    public let largestError: Double
    /// ‖w − decoded‖ / ‖w‖.
    public let relativeError: Double
  }

  public let output: String
  /// Quantized weights, in natural order of their names.
  public let tensors: [Tensor]
  /// Tensors that are not quantized.
  public let kept: Int
  /// Bits of codes and scales for each element of the quantized weights.
  public let bitsPerParameter: Double
  /// Bytes of the weight files read, and of those written.
  public let bytesRead: Int
  public let bytesWritten: Int
}

/// Why a model cannot be quantized or restored.
public enum QuantizeError: Error, Sendable, Equatable {
  /// The model is quantized already, by the method named.
  case alreadyQuantized(path: String, method: String)
  /// No weight of the model is one of a linear layer, or all are skipped.
  case nothingToQuantize(path: String)
  /// A pattern that cannot be read as a regular expression, or matches no linear layer.
  case skipPattern(String)
  /// An element is infinite or NaN, or becomes so in f16 on the way to int8.
  case notFinite(tensor: String, index: [Int])
  /// The model is not quantized.
  case notQuantized(path: String)
  /// Quantized by a method that is not read.
  case unsupportedMethod(path: String, method: String)
  /// The weights that a quantized model is said to be made of are others: one is missing or of another
  /// shape, or is as far from the decoded one as `relativeError` says.
  case otherWeights(path: String, tensor: String, relativeError: Double?)
  /// A quantized weight is not what its parts say.
  case unsound(path: String, QuantizedProblem)
}
