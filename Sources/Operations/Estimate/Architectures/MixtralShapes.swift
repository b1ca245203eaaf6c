/// Mixtral: LLaMA's attention, and a mixture of gated experts, each a set of matrices of its own as in
/// the checkpoint.
enum MixtralShapes: ArchitectureShapes {
  static let modelTypes = ["mixtral"]

  static func shapes(_ config: ArchitectureConfig) throws(EstimateError) -> ModelShapes {
    let decoder = try DecoderSizes(config)
    let hidden = try config.size("intermediate_size")
    let experts = try config.size("num_local_experts", default: 8, in: 1...1024)
    let active = try config.size("num_experts_per_tok", default: 2, in: 1...experts)
    guard decoder.layers * experts <= 1 << 16 else { throw config.invalid("num_local_experts") }
    let share = Double(active) / Double(experts)
    var list = LayerList(elementSize: try config.elementSize())
    decoder.appendEmbedding(to: &list)
    for index in 0..<decoder.layers {
      decoder.appendAttention(index, to: &list)
      let mixture = "layers.\(index).block_sparse_moe"
      list.linear("\(mixture).gate", experts, decoder.width)
      for expert in 0..<experts {
        let module = "\(mixture).experts.\(expert)"
        list.linear("\(module).w1", hidden, decoder.width, tokenShare: share)
        list.linear("\(module).w2", decoder.width, hidden, tokenShare: share)
        list.linear("\(module).w3", hidden, decoder.width, tokenShare: share)
      }
      decoder.appendNorms(index, to: &list)
    }
    try decoder.appendHead(config, to: &list)
    return ModelShapes(
      layers: list.layers, facts: try decoder.facts(config, hidden: hidden, activeExperts: active))
  }
}
