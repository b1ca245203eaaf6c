/// What a method is called, where it comes from, and what its files hold. The table of methods in the
/// README is generated from these.
public struct MethodDescriptor: Sendable {
  /// Title in prose: `LoRA`.
  public var title: String
  /// Names on the command line: `lora`, `rslora`.
  public var names: [String]
  /// `peft_type` values in `adapter_config.json`.
  public var peftTypes: [String]
  /// Paper and equation, or the place of the format.
  public var source: String
  /// PEFT rounds the change, or something on the way to it, to the stored type before it adds it. Here
  /// there is one rounding, so results differ by PEFT's first one.
  public var roundedTwiceInPEFT: Bool
  /// The trainable tensors of a module, by leaf.
  public var leaves: [String]
  /// Tensors of a module that are stored and not trained: frozen projections, indices, norms.
  public var frozenLeaves: [String]
  /// Tensors of a module that only training needs, or copies of the base: read and left alone. A
  /// trailing `.` stands for a family.
  public var ignoredLeaves: [String]
  /// Tensors without a module, by their name after `base_model.`; a trailing `.` stands for a family
  /// (`tinylora_v.`).
  public var sharedTensors: [String]
  /// Shared tensors that are trained (the others are frozen).
  public var trainableShared: [String]
  /// Settings that the method reads.
  public var settings: [String]
  /// Settings that override another one module by module: `rank_pattern` for `r`.
  public var patterns: [SettingPattern]
  /// Settings that make no difference to a merge (dropout, initialisation, training schedules).
  public var trainingSettings: [String]
  /// Why a merge is refused; nil when the method can be merged.
  public var notMergeable: String?
  /// One sentence for the table of methods: what is special, where the result differs from PEFT's.
  public var remark: String?

  public init(
    title: String, names: [String], peftTypes: [String], source: String,
    roundedTwiceInPEFT: Bool = false, leaves: [String],
    frozenLeaves: [String] = [], ignoredLeaves: [String] = [], sharedTensors: [String] = [],
    trainableShared: [String] = [],
    settings: [String], patterns: [SettingPattern] = [], trainingSettings: [String] = [],
    notMergeable: String? = nil,
    remark: String? = nil
  ) {
    self.title = title
    self.names = names
    self.peftTypes = peftTypes
    self.source = source
    self.roundedTwiceInPEFT = roundedTwiceInPEFT
    self.leaves = leaves
    self.frozenLeaves = frozenLeaves
    self.ignoredLeaves = ignoredLeaves
    self.sharedTensors = sharedTensors
    self.trainableShared = trainableShared
    self.settings = settings
    self.patterns = patterns
    self.trainingSettings = trainingSettings
    self.notMergeable = notMergeable
    self.remark = remark
  }
}

/// A table in the configuration, pattern → value, that overrides a setting for the modules it matches.
public struct SettingPattern: Sendable, Equatable {
  /// How a key of the table, a regular expression, is matched against a module's name. The first key
  /// in the order of the file that matches wins.
  public enum Rule: Sendable, Equatable {
    /// `^(.*\.)?(key)$`.
    case wholeOrSuffix
    /// `^.*\.key$`: at least one dot before the key.
    case suffix
    /// Anywhere in the name.
    case search
  }

  public var table: String
  public var setting: String
  public var rule: Rule

  public init(table: String, setting: String, rule: Rule = .wholeOrSuffix) {
    self.table = table
    self.setting = setting
    self.rule = rule
  }
}
