import Kernels

/// FourierFT: some coefficients of the change's spectrum.
enum FourierFTCount: MethodCount {
  static let names = ["fourierft"]
  static let rank: String? = "n_frequency"
  static let defaults: [String: Setting] = ["n_frequency": .integer(1000)]
  static let table = DefaultTargets.Table.fourier

  static func parameters(
    _ layer: LayerGeometry, _ settings: MethodSettings
  ) throws(MethodError) -> ParameterCount {
    ParameterCount(trained: try layer.coefficients(settings))
  }
}

/// WaveFT: some coefficients of the change's wavelet transform.
enum WaveFTCount: MethodCount {
  static let names = ["waveft"]
  static let rank: String? = "n_frequency"
  static let defaults: [String: Setting] = ["n_frequency": .integer(2592)]
  static let table = DefaultTargets.Table.wavelet

  static func parameters(
    _ layer: LayerGeometry, _ settings: MethodSettings
  ) throws(MethodError) -> ParameterCount {
    if try settings.bool("proportional_parameters") ?? false {
      throw .setting(name: "proportional_parameters", reason: "is not supported")
    }
    return ParameterCount(trained: try layer.coefficients(settings))
  }
}

extension LayerGeometry {
  fileprivate func coefficients(_ settings: MethodSettings) throws(MethodError) -> Int {
    let count = try settings.size("n_frequency", in: 1...(1 << 30))
    guard count <= inFeatures * outFeatures else {
      throw .setting(name: "n_frequency", reason: "exceeds the elements of a layer")
    }
    return count
  }
}

/// C3A: a circulant kernel for each pair of blocks.
enum C3ACount: MethodCount {
  static let names = ["c3a"]
  static let rank: String? = "block_size"
  static let defaults: [String: Setting] = ["block_size": .integer(256)]
  static let table = DefaultTargets.Table.fourier

  static func parameters(
    _ layer: LayerGeometry, _ settings: MethodSettings
  ) throws(MethodError) -> ParameterCount {
    let size = try settings.size("block_size")
    try layer.require(layer.inFeatures, divisibleBy: size, setting: "block_size")
    try layer.require(layer.outFeatures, divisibleBy: size, setting: "block_size")
    return ParameterCount(trained: layer.outFeatures / size * layer.inFeatures)
  }
}

/// SHiRA: as many elements of the weight as LoRA's factors have, and where they are.
enum SHiRACount: MethodCount {
  static let names = ["shira"]
  static let defaults: [String: Setting] = ["r": .integer(32)]
  static let table = DefaultTargets.Table.shira

  static func parameters(
    _ layer: LayerGeometry, _ settings: MethodSettings
  ) throws(MethodError) -> ParameterCount {
    let count = try settings.size("r") * (layer.inFeatures + layer.outFeatures)
    return ParameterCount(trained: count, frozen: 2 * count)
  }
}

/// SuperTuning: the share `1 − sparsity` of the weight's elements, with LoRA's factors where r is set.
enum SuperTuningCount: MethodCount {
  static let names = ["supertuning"]
  static let defaults: [String: Setting] = ["sparsity": .real(0.99)]
  static let table = DefaultTargets.Table.lora

  static func parameters(
    _ layer: LayerGeometry, _ settings: MethodSettings
  ) throws(MethodError) -> ParameterCount {
    let (input, out) = (layer.inFeatures, layer.outFeatures)
    let sparsity = try settings.fraction("sparsity", default: 0.99)
    let count = Int(Double(input * out) * (1 - sparsity))
    let rank = try settings.integer("r") == nil ? 0 : settings.size("r")
    return ParameterCount(trained: count + rank * (input + out), frozen: count)
  }
}
