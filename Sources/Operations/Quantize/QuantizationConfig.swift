import Kernels
import Safetensors

/// `quantization_config` of `config.json`, as transformers 5 writes it for bitsandbytes.
enum QuantizationConfig {
  static let key = "quantization_config"

  /// - Parameter skipped: patterns of modules that are not quantized; nil for those that transformers
  ///   leaves alone by itself. A list replaces them.
  static func json(_ scheme: QuantizationScheme, skipped: [String]?) -> JSONValue {
    let isInt8 = scheme.kind == .int8
    return [
      "_load_in_4bit": .bool(!isInt8),
      "_load_in_8bit": .bool(isInt8),
      "bnb_4bit_compute_dtype": "float32",
      "bnb_4bit_quant_storage": "uint8",
      // What the setting is when nobody sets it.
      "bnb_4bit_quant_type": .string(isInt8 ? "fp4" : scheme.kind.rawValue),
      "bnb_4bit_use_double_quant": .bool(!isInt8 && scheme.doubleQuantized),
      "llm_int8_enable_fp32_cpu_offload": false,
      "llm_int8_has_fp16_weight": false,
      "llm_int8_skip_modules": skipped.map { .array($0.map { .string($0) }) } ?? .null,
      // transformers refuses the integer 6.
      "llm_int8_threshold": .double(6),
      "load_in_4bit": .bool(!isInt8),
      "load_in_8bit": .bool(isInt8),
      "quant_method": "bitsandbytes",
    ]
  }
}
