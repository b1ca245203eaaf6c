import Adapters
import Kernels

/// Which layers a method is put on.
public enum TargetSelection: Sendable, Equatable {
  /// Every linear layer but the output head (PEFT's `all-linear`).
  case allLinear
  /// Modules with these names, whole or after a dot.
  case names([String])
  /// Modules whose whole name the regular expression matches.
  case pattern(String)

  /// The value of `--targets`: `all-linear`, names separated by commas, or a regular expression.
  ///
  /// What consists of letters, digits and `_ - . ,` is names.
  public init(argument: String) throws(EstimateError) {
    if argument.lowercased() == "all-linear" {
      self = .allLinear
    } else if argument.allSatisfy({ $0.isLetter || $0.isNumber || "_-.,".contains($0) }) {
      let names = argument.split(separator: ",").map(String.init)
      guard !names.isEmpty else { throw .invalidTargets(argument) }
      self = .names(names)
    } else {
      guard (try? Regex(argument)) != nil else { throw .invalidTargets(argument) }
      self = .pattern(argument)
    }
  }

  /// The value that `init(argument:)` reads as this.
  public var argument: String {
    switch self {
    case .allLinear: "all-linear"
    case .names(let names): names.joined(separator: ",")
    case .pattern(let pattern): pattern
    }
  }

  /// Those of `layers` that are selected, as far as their kind is one of `kinds`.
  ///
  /// Names and patterns follow PEFT's rules for `target_modules`.
  public func select(
    from layers: [ModelLayer], kinds: Set<LayerGeometry.Kind>
  ) throws(EstimateError) -> [ModelLayer] {
    let setting: Setting
    switch self {
    case .allLinear:
      let linear = layers.filter { $0.geometry.kind == .linear && !$0.isOutputHead }
      guard !linear.isEmpty else { throw .nothingTargeted(targets: argument) }
      return linear
    case .names(let names): setting = .list(names.map(Setting.text))
    case .pattern(let pattern):
      guard (try? Regex(pattern)) != nil else { throw .invalidTargets(pattern) }
      setting = .text(pattern)
    }
    let targets = TargetModules(MethodSettings(["target_modules": setting]))
    let selected = layers.filter {
      kinds.contains($0.geometry.kind) && targets.contains($0.module) == true
    }
    guard !selected.isEmpty else { throw .nothingTargeted(targets: argument) }
    return selected
  }
}
