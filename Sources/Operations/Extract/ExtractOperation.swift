import Adapters
import Kernels
import Safetensors

/// Finds the adapter that explains the difference between two models best.
public struct ExtractOperation: Sendable {
  public let request: ExtractRequest

  public init(_ request: ExtractRequest) {
    self.request = request
  }

  public func run() throws -> ExtractReport {
    let difference = try ModelDifference(
      base: BaseModel(path: request.base), tuned: BaseModel(path: request.tuned))
    let form = try self.form(difference)
    let output = try AdapterOutput(at: request.output, replacing: request.replacing)
    var modules: [ExtractReport.Module] = []
    for matrix in difference.matrices {
      let change = try difference.change(of: matrix)
      let prefix = adapterPrefix + matrix.layer.module + "."
      let (rank, kept) =
        if case .dora(let size) = form {
          try writeDirectional(
            fit(matrix, change, size, difference), change, matrix, prefix: prefix, to: output)
        } else {
          try write(change, matrix, as: form, prefix: prefix, to: output)
        }
      modules.append(
        ExtractReport.Module(
          module: matrix.layer.module, rank: rank, keptEnergy: kept, deltaSquared: change.energy))
    }
    for parameter in difference.parameters {
      modules.append(try write(parameter, of: difference, to: output))
    }
    for whole in difference.whole {
      output.copy(
        whole.tensor.info, of: difference.tuned.checkpoint.shards[whole.tensor.shard],
        as: whole.name)
    }
    if let table = difference.sharedTable {
      output.copy(
        table.info, of: difference.tuned.checkpoint.shards[table.shard],
        as: adapterPrefix + "lm_head.weight")
    }
    let bytes = try output.commit(config: configuration(difference, form, modules))
    return ExtractReport(
      output: request.output, method: form.method, modules: modules,
      replaced: difference.whole.map(\.tensor.name), unchanged: difference.unchanged,
      bytesWritten: bytes)
  }

  // MARK: - The method

  private enum Form: Equatable {
    case lora(ExtractRequest.Size)
    case dora(ExtractRequest.Size)
    case oneLoRA
    case sparseColumns
    case sparseRows

    var method: ExtractRequest.Method {
      switch self {
      case .lora: .lora
      case .dora: .dora
      case .oneLoRA: .oneLoRA
      case .sparseColumns, .sparseRows: .sbora
      }
    }
  }

  /// The one form that all matrices get.
  private func form(_ difference: ModelDifference) throws -> Form {
    func lora() throws -> Form {
      guard let size = request.size else { throw ExtractError.noSize }
      return .lora(size)
    }
    if let parameter = difference.parameters.first {
      // PEFT knows no other method on bare parameters.
      guard request.method == .auto || request.method == .lora else {
        throw ExtractError.unsuited(tensor: parameter.tuned.name, method: request.method)
      }
      return try lora()
    }
    switch request.method {
    case .lora:
      return try lora()
    case .dora:
      guard let size = request.size else { throw ExtractError.noSize }
      return .dora(size)
    case .oneLoRA:
      return .oneLoRA
    case .auto, .sbora:
      var possible: [Form] =
        request.method == .auto
        ? [.oneLoRA, .sparseColumns, .sparseRows] : [.sparseColumns, .sparseRows]
      if difference.matrices.isEmpty { return try lora() }
      for matrix in difference.matrices where !possible.isEmpty {
        let change = try difference.change(of: matrix)
        possible.removeAll { form in
          switch form {
          case .oneLoRA: !change.isRowConstant
          case .sparseColumns: matrix.layer.kind != .linear || !change.isColumnSparse
          case .sparseRows: matrix.layer.kind != .linear || !change.isRowSparse
          case .lora, .dora: false
          }
        }
        if possible.isEmpty, request.method == .sbora {
          throw ExtractError.unsuited(tensor: matrix.tuned.name, method: .sbora)
        }
      }
      if let form = possible.first { return form }
      if try asksForMagnitudes(difference), let size = request.size { return .dora(size) }
      return try lora()
    }
  }

  /// Whether every matrix is a DoRA of the wanted rank up to rounding, and the first no LoRA of it.
  private func asksForMagnitudes(_ difference: ModelDifference) throws -> Bool {
    guard case .rank? = request.size, let size = request.size else { return false }
    for (index, matrix) in difference.matrices.enumerated() {
      let change = try difference.change(of: matrix)
      if index == 0 {
        let lora = try change.factors(size, threads: request.threads)
        if change.isExplained(leaving: lora.residualSquared) { return false }
      }
      let residual = try fit(matrix, change, size, difference).residual
      guard change.isExplained(leaving: residual) else { return false }
    }
    return true
  }

  private func fit(
    _ matrix: ModelDifference.Matrix, _ change: WeightChange, _ size: ExtractRequest.Size,
    _ difference: ModelDifference
  ) throws -> DirectionalFit {
    let (base, tuned) = try difference.weights(of: matrix)
    return try DirectionalFit.fitted(
      size, base: base, tuned: tuned, rows: change.rows, energy: change.energy,
      threads: request.threads)
  }

  // MARK: - Modules

  /// Writes the tensors of one module; returns its rank and the part of ‖ΔW‖² that they keep.
  private func write(
    _ change: WeightChange, _ matrix: ModelDifference.Matrix, as form: Form, prefix: String,
    to output: AdapterOutput
  ) throws -> (rank: Int, kept: Double) {
    switch form {
    case .lora(let size):
      let svd = try change.factors(size, threads: request.threads)
      try writeFactors(svd, matrix.layer, prefix: prefix, to: output)
      return (svd.values.count, svd.keptEnergy)
    case .oneLoRA:
      let means = change.rowMeans
      try output.add(prefix + "onelora_b", [change.rows], means.values)
      return (1, change.energy > 0 ? 1 - means.residual / change.energy : 1)
    case .sparseColumns, .sparseRows, .dora:
      return try writeSparse(change, columns: form == .sparseColumns, prefix: prefix, to: output)
    }
  }

  /// A and B in the shapes of PEFT's linear layers and convolutions.
  private func writeFactors(
    _ svd: TruncatedSVD, _ layer: LayerGeometry, prefix: String, to output: AdapterOutput
  ) throws {
    let rank = svd.values.count
    let isConvolution = layer.kind == .convolution
    let ones = [Int](repeating: 1, count: isConvolution ? layer.shape.count - 2 : 0)
    let kernel = isConvolution ? Array(layer.shape.dropFirst()) : [layer.inFeatures]
    try output.add(prefix + "lora_A.weight", [rank] + kernel, svd.right.floats)
    try output.add(
      prefix + "lora_B.weight", [layer.outFeatures, rank] + ones, svd.scaledLeft.transposed.floats)
  }

  private func writeDirectional(
    _ fit: DirectionalFit, _ change: WeightChange, _ matrix: ModelDifference.Matrix,
    prefix: String, to output: AdapterOutput
  ) throws -> (rank: Int, kept: Double) {
    try writeFactors(fit.directional, matrix.layer, prefix: prefix, to: output)
    let isConvolution = matrix.layer.kind == .convolution
    let shape =
      isConvolution
      ? [1, change.rows] + [Int](repeating: 1, count: matrix.layer.shape.count - 2)
      : [change.rows]
    try output.add(prefix + "lora_magnitude_vector", shape, fit.magnitude)
    let kept = change.energy > 0 ? 1 - fit.residual / change.energy : 1
    return (fit.directional.values.count, kept)
  }

  /// The columns or rows that changed, exactly; the strongest where the rank allows fewer.
  private func writeSparse(
    _ change: WeightChange, columns: Bool, prefix: String, to output: AdapterOutput
  ) throws -> (rank: Int, kept: Double) {
    let energies = columns ? change.columnEnergies : change.rowEnergies
    var indices = energies.indices.filter { energies[$0] > 0 }
    if case .rank(let limit)? = request.size, indices.count > limit {
      indices.sort { energies[$0] == energies[$1] ? $0 < $1 : energies[$0] > energies[$1] }
      indices = indices.prefix(limit).sorted()
    }
    try output.add(prefix + "sbora_index", indices: indices)
    if columns {
      let values = (0..<change.rows).flatMap { row in
        indices.map { change.values[row * change.columns + $0] }
      }
      try output.add(prefix + "sbora_B", [change.rows, indices.count], values)
    } else {
      let values = indices.flatMap {
        change.values[$0 * change.columns..<($0 + 1) * change.columns]
      }
      try output.add(prefix + "sbora_A", [indices.count, change.columns], values)
    }
    let kept = indices.reduce(0) { $0 + energies[$1] }
    return (indices.count, change.energy > 0 ? min(1, kept / change.energy) : 1)
  }

  // MARK: - The configuration

  private func configuration(
    _ difference: ModelDifference, _ form: Form, _ modules: [ExtractReport.Module]
  ) -> JSONObject {
    var configuration = LoRAConfiguration()
    let parameters = Set(difference.parameters.map(\.path))
    for module in modules {
      if parameters.contains(module.module) {
        configuration.parameterRanks.append((parameter: module.module, rank: module.rank))
      } else {
        configuration.ranks.append((module: module.module, rank: module.rank))
      }
    }
    configuration.storesTransposed = difference.matrices.contains { $0.layer.storedTransposed }
    configuration.bias = difference.bias
    configuration.modulesToSave = difference.modulesToSave
    var lora = configuration.json
    if difference.sharedTable != nil { lora["ensure_weight_tying"] = true }
    guard form.method != .lora else { return lora }
    if form.method == .dora {
      var dora = lora
      dora["use_dora"] = true
      return dora
    }
    var json: JSONObject = [
      "peft_type": .string(form == .oneLoRA ? "ONELORA" : "SBORA")
    ]
    for key in [
      "base_model_name_or_path", "bias", "fan_in_fan_out", "modules_to_save",
      "target_modules",
    ] { json[key] = lora[key] }
    switch form {
    case .sparseColumns: json["variant"] = "FA"
    case .sparseRows: json["variant"] = "FB"
    case .oneLoRA, .lora, .dora: break
    }
    return json
  }
}
