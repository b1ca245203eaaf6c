import Kernels

/// Python regular expressions on module names, as PEFT's configuration uses them.
enum ModulePattern {
  /// Whether `pattern` matches all of `name` (`re.fullmatch`); nil when the pattern cannot be read.
  static func matchesAll(_ pattern: String, _ name: String) -> Bool? {
    guard let regex = regex(pattern) else { return nil }
    return name.wholeMatch(of: regex) != nil
  }

  /// The value in `table` whose key is the first, in the order of the file, to match `module`, and all
  /// keys that match.
  static func firstMatch(
    in table: [(key: String, value: Setting)], module: String, rule: SettingPattern.Rule
  ) -> (value: Setting, keys: [String])? {
    var first: Setting?
    var keys: [String] = []
    for (key, value) in table where matches(key, module: module, rule: rule) {
      if first == nil { first = value }
      keys.append(key)
    }
    return first.map { ($0, keys) }
  }

  static func matches(_ key: String, module: String, rule: SettingPattern.Rule) -> Bool {
    switch rule {
    case .wholeOrSuffix: matchesAll("(.*\\.)?(\(key))", module) ?? false
    case .suffix: matchesAll(".*\\.(\(key))", module) ?? false
    case .search: regex(key).map { module.firstMatch(of: $0) != nil } ?? false
    }
  }

  private static func regex(_ pattern: String) -> Regex<AnyRegexOutput>? {
    try? Regex(pattern)
  }
}

extension MethodSettings {
  /// The number that `table`, pattern → value, gives `module`, else the setting `name`.
  public func resolved(
    _ name: String, table: String, module: String
  ) throws(MethodError) -> Double? {
    guard case .table(let entries)? = self[table],
      let (value, _) = ModulePattern.firstMatch(
        in: entries, module: module, rule: .wholeOrSuffix)
    else { return try real(name) }
    return try setting(name, to: value).real(name)
  }
}
