import Safetensors
import Training

extension Failure {
  init(data error: DataError) {
    switch error {
    case .file(let error): self.init(file: error)
    case .safetensors(let error): self.init(safetensors: error, path: nil)
    case .empty(let path):
      self.init("data", .wrongData, "\(path) holds no example", path: path)
    case .record(let path, let line, let error):
      self.init("data", .wrongData, "\(path), line \(line): \(error.clause)", path: path)
    case .tensor(let path, let name, let problem):
      self.init(
        "data", .wrongData, "\(path): \(name) \(problem.clause)", path: path, tensor: name)
    case .cannotPack:
      self.init(
        "data", .wrongUsage, "examples of a classifier cannot share a row; leave out --pack")
    }
  }

  init(tokenizer error: PretrainedTokenizer.LoadError) {
    switch error {
    case .file(let error): self.init(file: error)
    case .json(let path, let error):
      self.init(
        "tokenizer", .wrongData, "\(path) is not JSON (byte \(error.offset)); download it again",
        path: path)
    case .tokenizer(let path, .file(let error)) where error.isNotFound:
      self.init(
        "no_tokenizer", .missingInput,
        "there is no \(path), which turns text into tokens; download it, or give tokens as "
          + "safetensors",
        path: path)
    case .tokenizer(let path, let error):
      self.init("tokenizer", .wrongData, "\(path): \(error.clause)", path: path)
    case .template(let path, let error):
      self.init("template", .wrongData, "\(path): the chat template, \(error.clause)", path: path)
    }
  }
}

extension DataError.TensorProblem {
  fileprivate var clause: String {
    switch self {
    case .missing: "is missing"
    case .unsupportedType(let type): "is \(type.rawValue), which it cannot be"
    case .unexpectedShape(let shape): "is \(Text.shape(shape)), which does not fit the others"
    case .valueOutOfRange: "holds a number that is no token"
    }
  }
}

extension RecordError {
  fileprivate var clause: String {
    switch self {
    case .json(let error): "not JSON (byte \(error.offset))"
    case .notAnObject: "not an object"
    case .noKnownKeys: "it has none of messages, prompt with completion, text"
    case .missing(let key): "\(key) is missing"
    case .wrongType(let key): "\(key) has a value of the wrong kind"
    case .unknownLabel(let label): "the model has no label \(label)"
    case .noTokens: "the text is empty"
    case .noChatTemplate: "messages need a chat template, and the model's folder has none"
    case .tokenizer(let error): error.clause
    case .template(let error): "the chat template, \(error.clause)"
    }
  }
}

extension TokenizerError {
  fileprivate var clause: String {
    switch self {
    case .file(let error): Failure(file: error).message
    case .json(let error): "not JSON (byte \(error.offset))"
    case .unknownVersion(let version): "version \(version) is not known; 1.0 is"
    case .missing(let component, let key): "\(component) lacks \(key)"
    case .invalid(let component, let key): "\(component) has a value of \(key) that it cannot have"
    case .unsupported(let component, let feature):
      "\(component): \(feature) is not supported; give tokens as safetensors"
    case .unsupportedPattern(let pattern, let offset, let construct):
      "the pattern \(pattern) has \(construct) at \(offset), which is not supported"
    case .mergeOutOfVocabulary(let token): "a merge names \(token), which the vocabulary lacks"
    case .unknownTokenMissing(let model):
      "the text needs an unknown token, and the \(model) model has none"
    case .truncationImpossible(let length):
      "\(length) tokens leave no room for the special ones; raise --sequence-length"
    }
  }
}

extension TemplateError {
  fileprivate var clause: String {
    switch self {
    case .syntax(let line, let found): "line \(line): unexpected \(found)"
    case .unsupported(let line, let construct): "line \(line): \(construct) is not supported"
    case .undefined(let line, let name): "line \(line): \(name) is not defined"
    case .invalidOperation(let line, let operation): "line \(line): \(operation) is not possible"
    case .raised(let line, let message): "line \(line): \(message)"
    case .dateMissing(let line):
      "line \(line): it asks for today's date, and what is trained must not depend on the day"
    case .limitExceeded(let line, let limit): "line \(line): \(limit) exceeded"
    }
  }
}
