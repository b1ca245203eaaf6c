import Kernels

/// The value of `--method`: a method or a variant of it, and additions after a plus:
/// `1lora+bias+scale+norms`, `lora+norms`.
struct MethodChoice: Sendable {
  let name: String
  let method: any MethodCount.Type
  /// Normalisations are trained as well.
  let trainsNorms: Bool
  /// Hyper-parameters of the variant and its additions.
  let settings: [String: Setting]

  init(_ argument: String) throws(EstimateError) {
    let parts = argument.lowercased().split(separator: "+", omittingEmptySubsequences: false)
      .map(String.init)
    guard let method = MethodCounts.method(named: parts[0]) else {
      throw .unknownMethod(name: parts[0], known: MethodCounts.names.sorted())
    }
    name = parts.joined(separator: "+")
    self.method = method
    var settings = method.settings(named: parts[0])
    var trainsNorms = method.trainsNorms
    // Bias and scale are parts of 1LoRA; norms go with everything.
    let ownParts = method == OneLoRACount.self ? ["bias", "scale"] : []
    for part in parts.dropFirst() {
      if part == "norms" {
        trainsNorms = true
      } else if ownParts.contains(part) {
        settings["train_" + part] = .bool(true)
      } else {
        throw .unknownAddition(name: part, known: ownParts + ["norms"])
      }
    }
    self.trainsNorms = trainsNorms
    self.settings = settings
  }
}
