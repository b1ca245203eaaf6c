/// Why an adapter cannot be turned into another format. Facts only: the command line words them.
public enum ConversionError: Error, Sendable, Equatable {
  /// The tensors follow none of the naming schemes that are read.
  case unknownNaming(path: String, tensor: String?, looked: [NamingScheme])
  /// The file alone does not say everything: the base does.
  case needsBase(path: String, reason: String)
  /// The target format cannot say what the adapter does.
  case noEquivalent(path: String, module: String?, target: String, reason: String)
  /// A name that stands for no module of the base, or for several.
  case unresolvedName(path: String, tensor: String, scheme: NamingScheme, candidates: [String])
  /// A tensor that the scheme has no meaning for, or one without its partner.
  case unexpectedTensor(path: String, tensor: String, scheme: NamingScheme, reason: String)
  /// The file holds adapters of several models.
  case severalModels(path: String, prefixes: [String])
  /// The adapter's modules are not those of the base.
  case otherBase(path: String, base: String, tensor: String?)
  /// A prefix that no reader of the scheme would recognise.
  case prefix(String, scheme: NamingScheme, known: [String])
  /// A PEFT adapter's weights without their configuration.
  case noConfiguration(path: String, tensor: String)
}

/// How an adapter file that is no PEFT adapter names its tensors.
public enum NamingScheme: String, Sendable, CaseIterable {
  /// `lora_unet_down_blocks_0….lora_down.weight`, as sd-scripts writes it.
  case kohya
  /// `unet.down_blocks.0….lora_A.weight` and its older forms, as diffusers writes it.
  case diffusers
  /// `model.layers.0.self_attn.q_proj.lora_a`, as mlx-lm writes it.
  case mlx
  /// `<module>.linear.weight` and `<module>.b`: the whole model of 1LoRA's listing.
  case oneLoRAListing
}
