/// A tensor name of an adapter file, taken apart: PEFT's prefix, wrappers of training frameworks and
/// the adapter's own name are removed (PEFT's state-dict grammar).
struct TensorKey: Equatable {
  /// What the tensor is to its module.
  enum Role: Equatable {
    /// A parameter of the method: `lora_A.weight`.
    case parameter(leaf: String)
    /// A tensor without a module, shared by all: `vera_A`.
    case shared(name: String)
    /// The whole of a base tensor, trained: `modules_to_save`, `bias`, resized embeddings.
    case replacement(parameter: String)
    /// Rows of an embedding, trained.
    case tokenRows
    /// A duplicate of the frozen original that some savers leave in the file.
    case frozenOriginal
  }

  /// The module's path in the model, without PEFT's prefix; empty for shared tensors.
  var module: String
  var role: Role
  /// How many `base_layer` segments ended the path: adapters on several parameters of one module nest.
  var nesting: Int
  /// The path went through a wrapped parent: `mha.base_layer.out_proj`.
  var insideWrapped: Bool

  /// Segments that training frameworks put into names.
  private static let wrappers: Set<String> = [
    "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module",
  ]

  /// Parses `name`, given the leaves and the shared names of the adapter's methods.
  init(_ name: String, leaves: [String], shared: [String]) {
    if let sharedName = Self.sharedName(name, shared: shared) {
      self.init(module: "", role: .shared(name: sharedName), nesting: 0, insideWrapped: false)
      return
    }
    var segments = name.split(separator: ".", omittingEmptySubsequences: false).map(String.init)
    segments.removeAll { Self.wrappers.contains($0) }
    if segments.first == "module" { segments.removeFirst() }
    if segments.starts(with: ["base_model", "model"]) {
      segments.removeFirst(2)
    } else if segments.first == "base_model" {
      segments.removeFirst()
    }

    let role: Role
    if let (count, leaf) = Self.leaf(of: segments, among: leaves) {
      segments.removeLast(count)
      role = .parameter(leaf: leaf)
    } else if let at = segments.lastIndex(of: "token_adapter") {
      segments.removeSubrange(at...)
      role = .tokenRows
    } else if let at = segments.lastIndex(of: "original_module") {
      segments.removeSubrange(at...)
      role = .frozenOriginal
    } else if let at = segments.lastIndex(of: "modules_to_save") {
      // The adapter's name follows, unless the saver has removed it.
      let rest = segments[(at + 1)...]
      let parameter = (rest.count > 1 ? rest.dropFirst() : rest).joined(separator: ".")
      segments.removeSubrange(at...)
      role = .replacement(parameter: parameter)
    } else {
      role = .replacement(parameter: segments.popLast() ?? "")
    }

    var nesting = 0
    while segments.last == "base_layer" {
      segments.removeLast()
      nesting += 1
    }
    let insideWrapped = segments.contains("base_layer")
    segments.removeAll { $0 == "base_layer" }
    self.init(
      module: segments.joined(separator: "."), role: role, nesting: nesting,
      insideWrapped: insideWrapped)
  }

  private init(module: String, role: Role, nesting: Int, insideWrapped: Bool) {
    self.module = module
    self.role = role
    self.nesting = nesting
    self.insideWrapped = insideWrapped
  }

  private static func sharedName(_ name: String, shared: [String]) -> String? {
    var rest = Substring(name)
    for prefix in ["base_model.model.", "base_model."] where rest.hasPrefix(prefix) {
      rest = rest.dropFirst(prefix.count)
      break
    }
    let found = shared.contains { known in
      known.hasSuffix(".") ? rest.hasPrefix(known) : rest == known
    }
    return found ? String(rest) : nil
  }

  /// The longest leaf that ends the path, and how many segments it takes. The adapter's name may stand
  /// before the leaf's last segment (`lora_A.default.weight`) or, in leaves of one segment, behind it
  /// (`road_theta.default`).
  private static func leaf(of segments: [String], among leaves: [String]) -> (Int, String)? {
    var best: (count: Int, leaf: String)?
    for leaf in leaves {
      let parts = leaf.split(separator: ".").map(String.init)
      let count: Int
      if segments.suffix(parts.count).elementsEqual(parts) {
        count = parts.count
      } else if segments.count > parts.count + 1 {
        var named = Array(segments.suffix(parts.count + 1))
        named.remove(at: parts.count == 1 ? 1 : parts.count - 1)
        guard named == parts else { continue }
        count = parts.count + 1
      } else {
        continue
      }
      if best.map({ parts.count > $0.leaf.split(separator: ".").count }) ?? true {
        best = (count, leaf)
      }
    }
    return best.map { ($0.count, $0.leaf) }
  }
}
