import Kernels

/// Which modules a configuration targets: `target_modules`, `exclude_modules`,
/// `layers_to_transform`, `layers_pattern` (PEFT's matching rules).
public struct TargetModules: Sendable {
  private let targets: Setting?
  private let excluded: Setting?
  private let layers: Setting?
  private let layersPattern: Setting?

  public init(_ settings: MethodSettings) {
    targets = settings["target_modules"]
    excluded = settings["exclude_modules"]
    layers = settings["layers_to_transform"]
    layersPattern = settings["layers_pattern"]
  }

  /// Whether the configuration names the modules that it targets.
  public var isStated: Bool { targets != nil }

  /// Whether `module` is targeted; nil when the configuration does not say.
  public func contains(_ module: String) -> Bool? {
    guard let targets else { return nil }
    if let excluded, Self.hits(excluded, module) != .none { return false }
    switch Self.hits(targets, module) {
    case .none: return false
    case .whole: return true
    case .suffix: return passesLayerFilter(module)
    }
  }

  private enum Hit { case none, whole, suffix }

  private static func hits(_ targets: Setting, _ module: String) -> Hit {
    switch targets {
    case .text(let pattern):
      return ModulePattern.matchesAll(pattern, module) == true ? .whole : .none
    case .list(let items):
      let names = items.compactMap { if case .text(let name) = $0 { name } else { nil } }
      if names.contains(module) { return .whole }
      return names.contains { module.hasSuffix("." + $0) } ? .suffix : .none
    default: return .none
    }
  }

  private func passesLayerFilter(_ module: String) -> Bool {
    let wanted: [Int]
    switch layers {
    case nil: return true
    case .integer(let index): wanted = [index]
    case .list(let items):
      wanted = items.compactMap { if case .integer(let index) = $0 { index } else { nil } }
    default: return true
    }
    guard let index = layerIndex(module) else { return false }
    return wanted.contains(index)
  }

  /// The index of the layer that `module` is in: the first number in its path that follows a container
  /// (`layers_pattern` names the containers; without it, any segment but the first one).
  private func layerIndex(_ module: String) -> Int? {
    let segments = module.split(separator: ".").map(String.init)
    let patterns: [String] =
      switch layersPattern {
      case .text(let name) where !name.isEmpty: [name]
      case .list(let items):
        items.compactMap { if case .text(let name) = $0 { name } else { nil } }
      default: []
      }
    if patterns.isEmpty {
      for at in segments.indices.dropFirst(2) where at < segments.count - 1 {
        if let index = Int(segments[at]) { return index }
      }
      return nil
    }
    for pattern in patterns {
      for at in segments.indices.dropFirst() where at < segments.count - 1 {
        if let index = Int(segments[at]),
          ModulePattern.matchesAll(pattern, segments[at - 1]) == true
        {
          return index
        }
      }
    }
    return nil
  }
}
