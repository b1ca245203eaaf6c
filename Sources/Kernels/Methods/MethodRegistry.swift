/// Every method that the tool knows, one line each.
public enum MethodRegistry {
  public static let all: [any AdapterMethod.Type] = [
    // Forms of LoRA's files, the special ones first.
    TrainableTokens.self,
    MultiheadOutput.self,
    ResidualInitialization.self,
    KaSA.self,
    BdLoRA.self,
    MoRA.self,
    SBoRA.self,
    AsymmetricLoRA.self,
    DoRA.self,
    LoRA.self,

    OneLoRA.self,
    VeRA.self,
    BitFit.self,
    DiffFit.self,
    NormTuning.self,
    FullTuning.self,
    Bottleneck.self,
    PrefixTuning.self,
    PromptTuning.self,

    AdaLoRA.self,
    BEFT.self,
    BOFT.self,
    C3A.self,
    DEFT.self,
    DeLoRA.self,
    FRoD.self,
    FourierFT.self,
    GLoRA.self,
    GraLoRA.self,
    HRA.self,
    HiRA.self,
    IA3.self,
    LoHa.self,
    LoKr.self,
    MiSS.self,
    OFT.self,
    OSF.self,
    PEANuT.self,
    PVeRA.self,
    RandLoRA.self,
    RoAd.self,
    SHiRA.self,
    SuperTuning.self,
    TinyLoRA.self,
    UniLoRA.self,
    VBLoRA.self,
    WaveFT.self,

    // Inspected, not merged.
    AdaMSS.self,
    AdaptionPrompt.self,
    Cartridge.self,
    ContextPromptTuning.self,
    Lily.self,
    MultitaskPromptTuning.self,
    PSOFT.self,
    PTuning.self,
    Poly.self,
    Shadow.self,
    XLoRA.self,
  ]

  /// The methods that a `peft_type` may stand for, in the order of `all`.
  public static func methods(peftType: String) -> [any AdapterMethod.Type] {
    all.filter { $0.descriptor.peftTypes.contains(peftType) }
  }

  /// The method of a module with these tensors.
  public static func method(
    peftType: String, shapes: [String: [Int]], settings: MethodSettings
  ) -> (any AdapterMethod.Type)? {
    let candidates = methods(peftType: peftType)
    return candidates.count == 1
      ? candidates[0] : candidates.first { $0.claims(shapes, settings: settings) }
  }
}
