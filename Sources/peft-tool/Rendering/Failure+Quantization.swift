import Adapters
import Kernels
import Operations

extension Failure {
  init(quantize error: QuantizeError) {
    switch error {
    case .alreadyQuantized(let path, let method):
      self.init(
        "already_quantized", .wrongData,
        "\(path) is quantized already (\(method)); peft-tool dequantize restores it first",
        path: path)
    case .nothingToQuantize(let path):
      self.init(
        "nothing_to_quantize", .wrongData,
        "\(path) has no linear layer that could be quantized", path: path)
    case .skipPattern(let pattern):
      self.init(
        "skip", .wrongData,
        "--skip \(pattern) matches no linear layer; --dry-run lists them")
    case .notFinite(let tensor, let index):
      self.init(
        "not_finite", .wrongData,
        "element \(Text.shape(index)) of \(tensor) is infinite or not a number, so that it cannot be "
          + "quantized; --skip leaves the layer alone",
        tensor: tensor)
    case .notQuantized(let path):
      self.init("not_quantized", .wrongData, "\(path) is not quantized", path: path)
    case .unsupportedMethod(let path, let method):
      self.init(
        "quantization", .wrongData,
        "\(path) is quantized by \(method), which is not supported; bitsandbytes nf4, fp4 and int8 are",
        path: path)
    case .otherWeights(let path, let tensor, let error):
      let difference =
        error.map { "differs from the quantized one by \(Text.percent($0))" }
        ?? "is missing or of another shape"
      self.init(
        "base_weights", .wrongData,
        "\(path) is not what the base was quantized from: \(tensor) \(difference)", path: path,
        tensor: tensor)
    case .unsound(let path, let problem):
      self.init(
        "quantized_weight", .wrongData, "\(path): \(problem.sentence)", path: path,
        tensor: problem.tensor)
    }
  }

  init(quantization error: QuantizationError) {
    let message =
      switch error {
      case .blockSize(let size): "blocks of \(size) elements are not known; 32 to 4096 are"
      case .codeValues: "a table of codes does not have sixteen finite values"
      case .mapValues: "a table of scales does not have 256 finite values"
      case .size(_, let found, let expected):
        "a part of a quantized weight has \(found) elements instead of \(expected)"
      case .notFinite(let index): "element \(index) is infinite or not a number"
      }
    self.init("quantization", .wrongData, message)
  }
}

extension QuantizedProblem {
  /// The problem as a sentence.
  var sentence: String {
    switch self {
    case .missing(let tensor, let part): "the quantized weight \(tensor) has no \(part)"
    case .part(let tensor, let part, let dtype, let shape, let expected):
      "\(part) of the quantized weight \(tensor) is \(dtype.rawValue) \(Text.shape(shape)) and should "
        + "be \(expected)"
    case .state(let tensor, let fault): "the quantized weight \(tensor) \(fault.clause)"
    case .repackedScales(let tensor, let shape):
      "the scales of \(tensor) are \(Text.shape(shape)) and rounded to bf16: the model was saved after "
        + "a forward pass that repacked it, and its weights would be garbage; quantize it again"
    }
  }
}

extension QuantizedProblem.StateFault {
  fileprivate var clause: String {
    switch self {
    case .notReadable: "has a quant_state that cannot be read"
    case .otherType: "has a quant_state of another type than its name says"
    case .blockSize: "has a block size that bitsandbytes does not have"
    case .nesting: "has scales that do not fit its quant_state: double quantization in one only"
    case .layout: "has its int8 codes in a layout that is no longer in use"
    case .table: "has a table with values that are not finite"
    }
  }
}
