/// FRoD: `W' = U·(S + diag(λ))·Vᵀ`, V shared by the layers of one kind, U the unit columns of `(V⁻¹·W0ᵀ)ᵀ`, S
/// sparse. W' takes the place of W0; to another adapter's change it is added.
///
/// Source: PEFT, FRoD. Arithmetic: with N the column norms of `W0·V⁻ᵀ`, `W' = W0·T`,
/// `T = V⁻ᵀ·N⁻¹·(S + diag(λ))·Vᵀ` in f64; a row is multiplied in f64 and rounded once.
public struct FRoD: AdapterMethod {
  public static let descriptor = MethodDescriptor(
    title: "FRoD", names: ["frod"], peftTypes: ["FROD"], source: "PEFT, FRoD",
    roundedTwiceInPEFT: true, leaves: ["frod_lambda_l", "frod_lambda_s_values"],
    sharedTensors: ["frod_V.", "frod_s_indices.", "frod_s_size."],
    settings: ["save_projection", "fan_in_fan_out"],
    trainingSettings: [
      "projection_prng_key", "frod_dropout", "init_weights", "sparse_rate", "regularization_alpha",
      "progressbar", "runtime_offload_base_weight",
    ],
    remark:
      "V must be stored: it follows from all layers' weights, up to the signs of eigenvectors.")

  private let layer: LayerGeometry
  private let v: DenseMatrix
  /// S + diag(λ).
  private let core: DenseMatrix

  /// What PEFT calls the kind of a layer: the last two parts of its name, or the last one after a
  /// number.
  static func category(of module: String) -> String {
    let parts = module.split(separator: ".").map(String.init)
    guard parts.count > 1, let last = parts.last else { return module }
    let before = parts[parts.count - 2]
    if !before.isEmpty, before.allSatisfy(\.isWholeNumber) { return last }
    if before == "output", last == "dense", parts.dropLast(2).last == "attention" {
      return "attention_output"
    }
    return "\(before)_\(last)"
  }

  public static func examine(
    _ shapes: [String: [Int]], settings: MethodSettings, layer: LayerGeometry?
  ) throws(MethodError) -> ModuleSummary {
    let count = try shapes.required("frod_lambda_l", dimensions: 1)[0]
    try shapes.expect("frod_lambda_l", [layer?.inFeatures ?? count])
    _ = try shapes.required("frod_lambda_s_values", dimensions: 1)
    return ModuleSummary(trainableParameters: shapes.elements(of: descriptor.leaves))
  }

  public init(_ module: AdapterModule) throws(MethodError) {
    _ = try Self.examine(module.shapes, settings: module.settings, layer: module.layer)
    layer = module.layer
    let size = layer.inFeatures
    let category = Self.category(of: layer.module)
    func shared(_ name: String) throws(MethodError) -> AdapterTensor {
      guard let tensor = module.context.shared["\(name).\(category)"] else {
        throw .missingTensor(leaf: "\(name).\(category)")
      }
      return tensor
    }
    let projection = try shared("frod_V")
    guard projection.shape == [size, size] else {
      throw .shape(
        leaf: "frod_V.\(category)", found: projection.shape, expected: "[\(size), \(size)]")
    }
    v = DenseMatrix(rows: size, columns: size, projection.reals)
    let values = try module.tensor("frod_lambda_s_values").reals
    let places = try shared("frod_s_indices")
    guard places.shape == [2, values.count], let indices = places.integers,
      indices.allSatisfy({ (0..<size).contains($0) })
    else {
      throw .shape(
        leaf: "frod_s_indices.\(category)", found: places.shape, expected: "[2, \(values.count)]")
    }
    var core = DenseMatrix(rows: size, columns: size)
    for (index, value) in values.enumerated() {
      core[indices[index], indices[values.count + index]] += Double(value)
    }
    for (index, value) in try module.tensor("frod_lambda_l").reals.enumerated() {
      core[index, index] += Double(value)
    }
    self.core = core
  }

  public func weightUpdate() -> (any WeightUpdate)? {
    BasisReplacement(v: v, core: core, rows: layer.outFeatures)
  }
}

private struct BasisReplacement: WeightUpdate {
  let v: DenseMatrix
  let core: DenseMatrix
  let rows: Int

  var columns: Int { v.rows }
  var form: UpdateForm { .general }

  func prepared(reading base: any RowSource) throws -> any WeightUpdate {
    let inverse: DenseMatrix
    do {
      inverse = try LUDecomposition(v).solve(DenseMatrix(identity: columns)).transposed
    } catch {
      throw MethodError.values(leaf: "frod_V", reason: "have no inverse")
    }
    // Rows of X = W0·V⁻ᵀ, for the norms of its columns.
    var squares = [Double](repeating: 0, count: columns)
    try base.forEachRow { _, values in
      let x = inverse.product(withRow: values)
      for column in squares.indices { squares[column] += x[column] * x[column] }
    }
    var scaled = inverse
    for row in 0..<columns {
      for column in 0..<columns {
        let norm = squares[column].squareRoot()
        // PEFT: a column of length 0 gives no direction.
        scaled[row, column] = norm > 1e-12 ? inverse[row, column] / norm : 0
      }
    }
    return ProductReplacement(
      matrix: scaled.multiplied(by: core).multiplied(by: v.transposed), rows: rows)
  }
}

/// `W' = W + (W0·T − W0)`.
private struct ProductReplacement: RowwiseTransform {
  let matrix: DenseMatrix
  let rows: Int

  var columns: Int { matrix.rows }

  func transform(
    row: Int, _ values: UnsafeMutableBufferPointer<Float>,
    base: UnsafeMutableBufferPointer<Float>, scratch: UnsafeMutableBufferPointer<Float>
  ) {
    let product = matrix.product(withRow: UnsafeBufferPointer(base))
    for column in values.indices {
      values[column] = Float(Double(values[column]) - Double(base[column]) + product[column])
    }
  }
}

extension DenseMatrix {
  /// A row times this matrix, in f64, summed in ascending order.
  fileprivate func product(withRow row: UnsafeBufferPointer<Float>) -> [Double] {
    precondition(row.count == rows)
    var result = [Double](repeating: 0, count: columns)
    result.withUnsafeMutableBufferPointer { result in
      values.withUnsafeBufferPointer { values in
        for index in row.indices {
          add(
            Double(row[index]),
            UnsafeBufferPointer(rebasing: values[index * columns..<(index + 1) * columns]),
            to: result)
        }
      }
    }
    return result
  }
}
