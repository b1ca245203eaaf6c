/// The methods that an estimate knows, one line each.
enum MethodCounts {
  static let all: [any MethodCount.Type] = [
    // Their files say which tensors a module has.
    LoRACount.self,
    DoRACount.self,
    OneLoRACount.self,
    VeRACount.self,
    MoRACount.self,
    SBoRACount.self,
    BitFitCount.self,
    DiffFitCount.self,
    AsymmetricLoRACount.self,
    // Whole tensors and adapters beside layers.
    FullCount.self,
    NormCount.self,
    LNTuningCount.self,
    BEFTCount.self,
    TrainableTokensCount.self,
    BottleneckCount.self,
    // Factors of low rank.
    AdaLoRACount.self,
    LoHaCount.self,
    LoKrCount.self,
    HiRACount.self,
    DeLoRACount.self,
    DEFTCount.self,
    GraLoRACount.self,
    GLoRACount.self,
    MiSSCount.self,
    PEANuTCount.self,
    OSFCount.self,
    AdaMSSCount.self,
    // Factors on weights.
    IA3Count.self,
    RoAdCount.self,
    OFTCount.self,
    BOFTCount.self,
    HRACount.self,
    PSOFTCount.self,
    // Few elements.
    FourierFTCount.self,
    WaveFTCount.self,
    C3ACount.self,
    SHiRACount.self,
    SuperTuningCount.self,
    // Parts that modules share.
    PVeRACount.self,
    RandLoRACount.self,
    VBLoRACount.self,
    UniLoRACount.self,
    TinyLoRACount.self,
    FRoDCount.self,
    LilyCount.self,
    PolyCount.self,
    // Prompts.
    PromptCount.self,
    MultitaskPromptCount.self,
    PTuningCount.self,
    PrefixCount.self,
    CartridgeCount.self,
    AdaptionPromptCount.self,
  ]

  static var names: [String] { all.flatMap { $0.names } }

  static func method(named name: String) -> (any MethodCount.Type)? {
    all.first { $0.names.contains(name) }
  }
}
