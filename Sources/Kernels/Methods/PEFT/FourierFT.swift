/// FourierFT: `W' = W0 + s·Re(F⁻¹(C))`, C a spectrum of `out × in` with trained coefficients in places that a
/// seed chooses, F⁻¹ the inverse transform in two dimensions, which divides by `out·in`.
///
/// Source: Gao et al. 2024 (2405.03003), section 3; places as PEFT draws them. Arithmetic: in f64, rounded to
/// f32 once.
public struct FourierFT: AdapterMethod {
  public static let descriptor = MethodDescriptor(
    title: "FourierFT", names: ["fourierft"], peftTypes: ["FOURIERFT"],
    source: "Gao et al. 2024 (2405.03003), section 3", leaves: ["fourierft_spectrum"],
    settings: ["scaling", "random_loc_seed", "fan_in_fan_out"],
    trainingSettings: ["n_frequency", "n_frequency_pattern", "init_weights"])

  private let layer: LayerGeometry
  private let spectrum: [Float]
  private let places: [Int]
  private let scale: Double

  public static func examine(
    _ shapes: [String: [Int]], settings: MethodSettings, layer: LayerGeometry?
  ) throws(MethodError) -> ModuleSummary {
    let count = try spectralCount(shapes, leaf: "fourierft_spectrum", layer: layer)
    return ModuleSummary(
      scale: try settings.real("scaling") ?? 150, trainableParameters: count)
  }

  /// Number of coefficients: no more than the weight has elements.
  static func spectralCount(
    _ shapes: [String: [Int]], leaf: String, layer: LayerGeometry?
  ) throws(MethodError) -> Int {
    let count = try shapes.required(leaf, dimensions: 1)[0]
    if let layer {
      guard layer.kind == .linear else { throw .layer(reason: "a linear layer is needed") }
      guard count <= layer.outFeatures * layer.inFeatures else {
        throw .shape(
          leaf: leaf, found: [count], expected: "at most \(layer.outFeatures * layer.inFeatures)")
      }
    }
    return count
  }

  public init(_ module: AdapterModule) throws(MethodError) {
    let summary = try Self.examine(module.shapes, settings: module.settings, layer: module.layer)
    layer = module.layer
    scale = summary.scale ?? 1
    spectrum = try module.tensor("fourierft_spectrum").reals
    var generator = TorchGenerator(seed: try module.settings.seed("random_loc_seed", default: 777))
    places = generator.permutation(layer.outFeatures * layer.inFeatures, first: spectrum.count)
  }

  public func weightUpdate() -> (any WeightUpdate)? {
    SpectralUpdate(
      rows: layer.outFeatures, columns: layer.inFeatures,
      places: places.map { ($0 / layer.inFeatures, $0 % layer.inFeatures) },
      spectrum: spectrum, scale: scale)
  }
}

/// Row p of D: the coefficients of a column of the spectrum are summed with the roots that belong to p,
/// and the row of sums is transformed.
private struct SpectralUpdate: RowwiseDelta {
  let rows: Int
  let columns: Int
  let places: [(row: Int, column: Int)]
  let spectrum: [Float]
  let scale: Double
  private let along: FourierTransform
  private let across: FourierTransform

  init(
    rows: Int, columns: Int, places: [(row: Int, column: Int)], spectrum: [Float], scale: Double
  ) {
    (self.rows, self.columns, self.places) = (rows, columns, places)
    (self.spectrum, self.scale) = (spectrum, scale)
    along = FourierTransform(length: columns)
    across = rows == columns ? along : FourierTransform(length: rows)
  }

  func makeRowWriter() -> (Int, UnsafeMutableBufferPointer<Float>) -> Void {
    var numbers = [Double](repeating: 0, count: 4 * columns)
    let factor = scale / (Double(rows) * Double(columns))
    return { row, values in
      numbers.withUnsafeMutableBufferPointer { numbers in
        guard let start = numbers.baseAddress else { return }
        numbers.update(repeating: 0)
        let input = FourierTransform.Complex(real: start, imaginary: start + columns)
        let output = FourierTransform.Complex(
          real: start + 2 * columns, imaginary: start + 3 * columns)
        for (place, value) in zip(places, spectrum) {
          let root = across.root(place.row * row % rows)
          input.real[place.column] += Double(value) * root.real
          input.imaginary[place.column] += Double(value) * root.imaginary
        }
        along.sum(input, into: output)
        for column in 0..<columns { values[column] = Float(factor * output.real[column]) }
      }
    }
  }

  func transposed() -> (any WeightUpdate)? {
    SpectralUpdate(
      rows: columns, columns: rows, places: places.map { ($0.column, $0.row) },
      spectrum: spectrum, scale: scale)
  }
}
