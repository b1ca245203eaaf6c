import Adapters
import Kernels
import Operations
import Safetensors
import Training

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// An error as people and scripts see it: one sentence of what, where and what to do next, a code, and
/// the exit status.
struct Failure {
  /// Exit statuses (sysexits).
  enum Status: Int32 {
    /// A stated threshold was missed, or a file is unsound.
    case unsound = 1
    case wrongUsage = 64
    case wrongData = 65
    case missingInput = 66
    case defect = 70
    case cannotCreate = 73
    case inputOutput = 74
  }

  var code: String
  var status: Status
  var message: String
  var path: String?
  var tensor: String?

  init(
    _ code: String, _ status: Status, _ message: String, path: String? = nil, tensor: String? = nil
  ) {
    self.code = code
    self.status = status
    self.message = message
    self.path = path
    self.tensor = tensor
  }

  init(_ error: any Error) {
    self =
      switch error {
      case let error as FileError: Failure(file: error)
      case let error as SafetensorsError: Failure(safetensors: error, path: nil)
      case let error as CheckpointError: Failure(checkpoint: error)
      case let error as AdapterError: Failure(adapter: error)
      case let error as MergeError: Failure(merge: error)
      case let error as DiffError: Failure(diff: error)
      case let error as ConversionError: Failure(conversion: error)
      case let error as CombineError: Failure(combine: error)
      case let error as ExtractError: Failure(extract: error)
      case let error as EstimateError: Failure(estimate: error)
      case let error as UndoError: Failure(undo: error)
      case let error as QuantizeError: Failure(quantize: error)
      case let error as QuantizationError: Failure(quantization: error)
      case let error as TrainingError: Failure(training: error)
      case let error as TrainingFileError: Failure(trainingFile: error)
      case let error as ModelError: Failure(model: error)
      case let error as AdapterTrainingError: Failure(adapterTraining: error)
      case let error as OptimizerError: Failure(optimizer: error)
      case let error as DataError: Failure(data: error)
      case let error as PretrainedTokenizer.LoadError: Failure(tokenizer: error)
      case let error as MethodError:
        Failure("method", .wrongData, error.clause)
      default:
        Failure("defect", .defect, "an error that should not happen: \(error)")
      }
  }

  /// Prints the error and ends the process.
  func report(json: Bool) -> Never {
    if json {
      var facts: JSONObject = ["code": .string(code), "message": .string(message)]
      facts["path"] = path.map(JSONValue.string) ?? .null
      facts["tensor"] = tensor.map(JSONValue.string) ?? .null
      let object: JSONValue = ["error": .object(facts)]
      Terminal.putJSON(object)
    }
    Terminal.tell("error: " + message)
    exit(status.rawValue)
  }
}
