/// A matrix `out × in·kernel` as LyCORIS factorises it: a product a·b, or, for convolutions, the CP form
/// `Σ_xy t[x, y, κ]·a[x, p]·b[y, q]` with one element κ of the kernel at a time.
struct ChannelFactor {
  let rank: Int
  let rows: Int
  let columns: Int
  /// `rows × rank` in the CP form `rank × rows` as stored is transposed into this.
  private let a: [Float]
  /// `rank × columns`; in the CP form `rank × channels`.
  private let b: [Float]
  /// `rank × rank × kernel`; empty for a product.
  private let core: [Float]
  private let kernel: Int

  /// Checks the shapes and returns the rank.
  ///
  /// - Parameters:
  ///   - outputs: rows of the matrix; nil when not known.
  ///   - inputs: input channels, those of `layer` by default.
  static func rank(
    _ shapes: [String: [Int]], a: String, b: String, core: String, outputs: Int?,
    inputs: Int? = nil, layer: LayerGeometry?
  ) throws(MethodError) -> Int {
    let aShape = try shapes.required(a, dimensions: 2)
    let bShape = try shapes.required(b, dimensions: 2)
    let rank = bShape[0]
    let kernel = layer.map { $0.kind == .convolution ? Array($0.shape.dropFirst(2)) : [] }
    let channels = inputs ?? layer.map { $0.kind == .convolution ? $0.shape[1] : $0.inFeatures }
    guard let coreShape = shapes[core] else {
      try shapes.expect(a, [outputs ?? aShape[0], rank])
      try shapes.expect(b, [rank, channels.map { $0 * (kernel ?? []).reduce(1, *) } ?? bShape[1]])
      return rank
    }
    guard coreShape.count == 4 else {
      throw .shape(leaf: core, found: coreShape, expected: "4 dimensions")
    }
    // A one-dimensional kernel is stored (k, 1).
    if let kernel {
      let padded = kernel + [Int](repeating: 1, count: max(2 - kernel.count, 0))
      try shapes.expect(core, [rank, rank] + padded)
    }
    try shapes.expect(a, [rank, outputs ?? aShape[1]])
    try shapes.expect(b, [rank, channels ?? bShape[1]])
    return rank
  }

  init(_ module: AdapterModule, a: String, b: String, core: String) throws(MethodError) {
    let (aTensor, bTensor) = (try module.tensor(a), try module.tensor(b))
    rank = bTensor.shape[0]
    self.b = bTensor.reals
    if let tensor = module.tensors[core] {
      rows = aTensor.shape[1]
      kernel = tensor.shape[2] * tensor.shape[3]
      columns = bTensor.shape[1] * kernel
      self.core = tensor.reals
      self.a = transpose(aTensor.reals, rows: rank, columns: rows)
    } else {
      rows = aTensor.shape[0]
      (columns, kernel, self.core) = (bTensor.shape[1], 1, [])
      self.a = aTensor.reals
    }
  }

  private init(rank: Int, rows: Int, columns: Int, a: [Float], b: [Float]) {
    (self.rank, self.rows, self.columns, self.a, self.b) = (rank, rows, columns, a, b)
    (core, kernel) = ([], 1)
  }

  /// The transposed matrix; nil in the CP form.
  func transposed() -> ChannelFactor? {
    guard core.isEmpty else { return nil }
    return ChannelFactor(
      rank: rank, rows: columns, columns: rows, a: transpose(b, rows: rank, columns: columns),
      b: transpose(a, rows: rows, columns: rank))
  }

  /// Adds row `row` to `values`: fused multiply-add in ascending rank; in the CP form summed in f64
  /// and rounded once.
  func addRow(_ row: Int, to values: UnsafeMutableBufferPointer<Float>) {
    if !core.isEmpty { return addConvolutionRow(row, to: values) }
    b.withUnsafeBufferPointer { b in
      for k in 0..<rank { values.addProduct(a[row * rank + k], b.row(k, columns: columns)) }
    }
  }

  private func addConvolutionRow(_ row: Int, to values: UnsafeMutableBufferPointer<Float>) {
    // c[y, κ] = Σ_x a[x, row]·t[x, y, κ]
    var c = [Double](repeating: 0, count: rank * kernel)
    for x in 0..<rank {
      for index in c.indices {
        c[index] += Double(a[row * rank + x]) * Double(core[x * rank * kernel + index])
      }
    }
    let channels = columns / kernel
    for channel in 0..<channels {
      for element in 0..<kernel {
        var sum = 0.0
        for y in 0..<rank { sum += Double(b[y * channels + channel]) * c[y * kernel + element] }
        values[channel * kernel + element] += Float(sum)
      }
    }
  }

  /// All elements, row-major.
  var dense: [Float] {
    var result = [Float](repeating: 0, count: rows * columns)
    result.withUnsafeMutableBufferPointer { result in
      for row in 0..<rows { addRow(row, to: result.slice(row * columns..<(row + 1) * columns)) }
    }
    return result
  }
}
