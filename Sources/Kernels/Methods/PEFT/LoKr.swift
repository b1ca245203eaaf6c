/// LoKr: `W' = W0 + s·(C₁ ⊗ C₂)`, `s = α/r`, each factor full, a product, or (C₂) in CP form.
///
/// Source: Yeh et al. 2023 (2309.14859); files as LyCORIS and PEFT.
/// Arithmetic: C₁ and C₂ in f32; their products are rounded to f32, then scaled.
public struct LoKr: AdapterMethod {
  public static let descriptor = MethodDescriptor(
    title: "LoKr", names: ["lokr"], peftTypes: ["LOKR"],
    source: "Yeh et al. 2023 (2309.14859)",
    leaves: [
      "lokr_w1", "lokr_w1_a", "lokr_w1_b", "lokr_w2", "lokr_w2_a", "lokr_w2_b", "lokr_t2",
    ],
    settings: ["r", "alpha"], patterns: LoHa.descriptor.patterns,
    trainingSettings: [
      "rank_dropout", "module_dropout", "use_effective_conv2d", "decompose_both",
      "decompose_factor", "rank_dropout_scale", "init_weights",
    ],
    remark: "The full factor of a one-dimensional convolution is laid out as PEFT does it.")

  private let layer: LayerGeometry
  private let scale: Float
  private let left: [Float]
  private let right: [Float]
  private let form: Form

  /// Sizes of the factors: C₁ is `o₁ × i₁`, C₂ `o₂ × i₂·kernel`.
  private struct Form {
    var left: (rows: Int, columns: Int)
    var right: (rows: Int, columns: Int)
    /// The last axis of a C₂ of three axes, `o₂ × i₂ × k`; nil otherwise.
    var interleavedKernel: Int?
    var rank: Int

    init(
      _ shapes: [String: [Int]], settings: MethodSettings, layer: LayerGeometry?
    ) throws(MethodError) {
      var ranks: [Int] = []
      if let shape = shapes["lokr_w1"] {
        guard shape.count == 2 else {
          throw .shape(leaf: "lokr_w1", found: shape, expected: "2 dimensions")
        }
        left = (shape[0], shape[1])
      } else {
        let a = try shapes.required("lokr_w1_a", dimensions: 2)
        let b = try shapes.required("lokr_w1_b", dimensions: 2)
        try shapes.expect("lokr_w1_b", [a[1], b[1]])
        left = (a[0], b[1])
        ranks.append(a[1])
      }
      if let shape = shapes["lokr_w2"] {
        guard shape.count >= 2 else {
          throw .shape(leaf: "lokr_w2", found: shape, expected: "2 dimensions or more")
        }
        right = (shape[0], shape.dropFirst().reduce(1, *))
        interleavedKernel = shape.count == 3 ? shape[2] : nil
      } else {
        let rank = try ChannelFactor.rank(
          shapes, a: "lokr_w2_a", b: "lokr_w2_b", core: "lokr_t2", outputs: nil, layer: nil)
        let a = try shapes.required("lokr_w2_a")
        let b = try shapes.required("lokr_w2_b")
        let kernel = shapes["lokr_t2"].map { $0[2] * $0[3] }
        right = (kernel == nil ? a[0] : a[1], b[1] * (kernel ?? 1))
        ranks.append(rank)
      }
      if ranks.isEmpty { ranks = [try settings.positive("r", default: 8)] }
      rank = ranks[0]
      if let layer {
        let size = [left.rows * right.rows, left.columns * right.columns]
        guard size == [layer.outFeatures, layer.inFeatures] else {
          throw .shape(
            leaf: "lokr_w1 ⊗ lokr_w2", found: size,
            expected: "[\(layer.outFeatures), \(layer.inFeatures)]")
        }
      }
    }
  }

  public static func examine(
    _ shapes: [String: [Int]], settings: MethodSettings, layer: LayerGeometry?
  ) throws(MethodError) -> ModuleSummary {
    let form = try Form(shapes, settings: settings, layer: layer)
    return ModuleSummary(
      rank: form.rank, scale: try scale(form, settings),
      trainableParameters: shapes.elements(of: descriptor.leaves))
  }

  private static func scale(
    _ form: Form, _ settings: MethodSettings
  ) throws(MethodError) -> Double {
    form.rank == 0 ? 0 : (try settings.real("alpha") ?? 8) / Double(form.rank)
  }

  public init(_ module: AdapterModule) throws(MethodError) {
    form = try Form(module.shapes, settings: module.settings, layer: module.layer)
    scale = Float(try Self.scale(form, module.settings))
    layer = module.layer
    func factor(_ name: String) throws(MethodError) -> [Float] {
      if let full = module.tensors["lokr_w\(name)"] { return full.reals }
      return try ChannelFactor(
        module, a: "lokr_w\(name)_a", b: "lokr_w\(name)_b", core: "lokr_t\(name)"
      ).dense
    }
    left = try factor("1")
    right = try factor("2")
  }

  public func weightUpdate() -> (any WeightUpdate)? {
    if let kernel = form.interleavedKernel {
      return InterleavedKroneckerUpdate(
        left: left, leftSize: form.left, right: right,
        rightSize: (form.right.rows, form.right.columns / kernel, kernel), scale: scale)
    }
    return KroneckerUpdate(
      left: left, leftSize: form.left, right: right, rightSize: form.right, scale: scale)
  }
}

/// `D = scale · (C₁ ⊗ C₂)`: row a·o₂ + c holds `C₁[a, b]·C₂[c, :]` for one b after the other.
private struct KroneckerUpdate: RowwiseDelta {
  let left: [Float]
  let leftSize: (rows: Int, columns: Int)
  let right: [Float]
  let rightSize: (rows: Int, columns: Int)
  let scale: Float

  var rows: Int { leftSize.rows * rightSize.rows }
  var columns: Int { leftSize.columns * rightSize.columns }

  func makeRowWriter() -> (Int, UnsafeMutableBufferPointer<Float>) -> Void {
    { row, values in
      let (a, c) = (row / rightSize.rows, row % rightSize.rows)
      right.withUnsafeBufferPointer { right in
        let pattern = right.row(c, columns: rightSize.columns)
        for b in 0..<leftSize.columns {
          let part = values.slice(b * rightSize.columns..<(b + 1) * rightSize.columns)
          part.addProduct(left[a * leftSize.columns + b], pattern)
        }
      }
      values.multiply(by: scale)
    }
  }

  func transposed() -> (any WeightUpdate)? {
    KroneckerUpdate(
      left: transpose(left, rows: leftSize.rows, columns: leftSize.columns),
      leftSize: (leftSize.columns, leftSize.rows),
      right: transpose(right, rows: rightSize.rows, columns: rightSize.columns),
      rightSize: (rightSize.columns, rightSize.rows), scale: scale)
  }
}

/// C₁ (o₁, i₁) and C₂ (o₂, i₂, k) multiplied as if C₁ were (1, o₁, i₁), which gives
/// (o₂, o₁·i₂, i₁·k), and read in that order as (o₁·o₂, i₁·i₂, k).
private struct InterleavedKroneckerUpdate: RowwiseDelta {
  let left: [Float]
  let leftSize: (rows: Int, columns: Int)
  let right: [Float]
  let rightSize: (rows: Int, columns: Int, kernel: Int)
  let scale: Float

  var rows: Int { leftSize.rows * rightSize.rows }
  var columns: Int { leftSize.columns * rightSize.columns * rightSize.kernel }

  func makeRowWriter() -> (Int, UnsafeMutableBufferPointer<Float>) -> Void {
    let width = leftSize.columns * rightSize.kernel
    return { row, values in
      for column in values.indices {
        let (line, place) = (row * columns + column).quotientAndRemainder(dividingBy: width)
        let (b, element) = place.quotientAndRemainder(dividingBy: rightSize.kernel)
        let (outer, d) = line.quotientAndRemainder(dividingBy: rightSize.columns)
        let (c, a) = outer.quotientAndRemainder(dividingBy: leftSize.rows)
        let factor = left[a * leftSize.columns + b]
        let value = right[(c * rightSize.columns + d) * rightSize.kernel + element]
        values[column] = factor * value * scale
      }
    }
  }
}
