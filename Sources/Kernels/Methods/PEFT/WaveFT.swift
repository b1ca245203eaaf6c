/// WaveFT: `W' = W0 + s·(inverse wavelet transform of C)`, C a matrix of `out × in` with trained coefficients in
/// places that a seed chooses; without `use_idwt`, C itself.
///
/// C is set into the middle of a matrix that is larger by the length of the filter less 2, of even sides; its
/// four quarters are the bands of one level of the transform, whose result is cut to size around the
/// middle. PEFT exchanges the bands beside the diagonal: the filter along the rows depends on the half of
/// the columns, and the other way round.
///
/// Source: arXiv 2505.12532; layout and places as PEFT. Arithmetic: in f64, rounded to f32 once.
public struct WaveFT: AdapterMethod {
  public static let descriptor = MethodDescriptor(
    title: "WaveFT", names: ["waveft"], peftTypes: ["WAVEFT"], source: "arXiv 2505.12532",
    leaves: ["waveft_spectrum"],
    settings: ["scaling", "wavelet_family", "use_idwt", "random_loc_seed", "fan_in_fan_out"],
    trainingSettings: [
      "n_frequency", "n_frequency_pattern", "proportional_parameters", "init_weights",
    ],
    remark:
      "Wavelets db1 to db10, sym2 to sym10, coif1 to coif3; PEFT's tables for coif4 and coif5 are wrong."
  )

  private let layer: LayerGeometry
  private let spectrum: [Float]
  private let places: [(row: Int, column: Int)]
  private let scale: Double
  /// nil where the coefficients are added as they are.
  private let filter: [Double]?

  public static func examine(
    _ shapes: [String: [Int]], settings: MethodSettings, layer: LayerGeometry?
  ) throws(MethodError) -> ModuleSummary {
    _ = try filter(settings)
    return ModuleSummary(
      scale: try settings.real("scaling") ?? 25,
      trainableParameters: try FourierFT.spectralCount(
        shapes, leaf: "waveft_spectrum", layer: layer))
  }

  private static func filter(_ settings: MethodSettings) throws(MethodError) -> [Double]? {
    guard try settings.bool("use_idwt") ?? true else { return nil }
    let name = try settings.text("wavelet_family") ?? "db1"
    guard let filter = Wavelet.filter(name) else {
      throw .setting(name: "wavelet_family", reason: "\(name) is not supported")
    }
    return filter
  }

  public init(_ module: AdapterModule) throws(MethodError) {
    let summary = try Self.examine(module.shapes, settings: module.settings, layer: module.layer)
    layer = module.layer
    scale = summary.scale ?? 1
    filter = try Self.filter(module.settings)
    spectrum = try module.tensor("waveft_spectrum").reals
    var generator = TorchGenerator(seed: try module.settings.seed("random_loc_seed", default: 777))
    let columns = layer.inFeatures
    places = generator.permutation(layer.outFeatures * columns, first: spectrum.count)
      .map { ($0 / columns, $0 % columns) }
  }

  public func weightUpdate() -> (any WeightUpdate)? {
    let (rows, columns) = (layer.outFeatures, layer.inFeatures)
    guard let filter else {
      return SparseElements(
        rows: rows, columns: columns, places: places,
        values: spectrum.map { Float(scale * Double($0)) })
    }
    return WaveletUpdate(
      rows: rows, columns: columns, places: places, spectrum: spectrum, scale: scale,
      filter: filter)
  }
}

/// One side of the transform: where the coefficients of a line stand in its bands, and which outputs they
/// reach.
private struct WaveletLine {
  private let margin: Int
  /// Coefficients per band.
  let half: Int
  /// Coefficient a of a band reaches output p with element `p + offset − 2a` of the filter.
  let offset: Int

  init(count: Int, filterLength: Int) {
    let padded = (count + filterLength - 2 + 1) / 2 * 2
    margin = (padded - count) / 2
    half = padded / 2
    let cut = (2 * filterLength - 3) / 2
    let whole = padded - 2 + filterLength
    offset = cut + (whole - 2 * cut - count) / 2
  }

  func place(_ index: Int) -> (coefficient: Int, isUpper: Bool) {
    let padded = index + margin
    return (padded % half, padded >= half)
  }
}

private struct WaveletUpdate: RowwiseDelta {
  let rows: Int
  let columns: Int
  let places: [(row: Int, column: Int)]
  let spectrum: [Float]
  let scale: Double
  let filter: [Double]
  private let down: WaveletLine
  private let along: WaveletLine
  /// Coefficients by their row in a band.
  private let byRow: [[Coefficient]]

  private struct Coefficient {
    var value: Double
    /// Place in its band along the row.
    var column: Int
    var usesHighPassDown: Bool
    var usesHighPassAlong: Bool
  }

  init(
    rows: Int, columns: Int, places: [(row: Int, column: Int)], spectrum: [Float], scale: Double,
    filter: [Double]
  ) {
    (self.rows, self.columns, self.places) = (rows, columns, places)
    (self.spectrum, self.scale, self.filter) = (spectrum, scale, filter)
    let down = WaveletLine(count: rows, filterLength: filter.count)
    let along = WaveletLine(count: columns, filterLength: filter.count)
    var byRow = [[Coefficient]](repeating: [], count: down.half)
    for (place, value) in zip(places, spectrum) {
      let (row, column) = (down.place(place.row), along.place(place.column))
      byRow[row.coefficient].append(
        Coefficient(
          value: Double(value), column: column.coefficient, usesHighPassDown: column.isUpper,
          usesHighPassAlong: row.isUpper))
    }
    (self.down, self.along, self.byRow) = (down, along, byRow)
  }

  func makeRowWriter() -> (Int, UnsafeMutableBufferPointer<Float>) -> Void {
    let (low, high) = (filter, Wavelet.highPass(filter))
    var sums = [Double](repeating: 0, count: columns)
    return { row, values in
      for column in sums.indices { sums[column] = 0 }
      let place = row + down.offset
      let first = max(0, (place - filter.count + 2) / 2)
      for a in first..<max(first, min(place / 2 + 1, down.half)) {
        for coefficient in byRow[a] {
          let factor = (coefficient.usesHighPassDown ? high : low)[place - 2 * a]
          let start = 2 * coefficient.column - along.offset
          let own = coefficient.usesHighPassAlong ? high : low
          for k in max(0, -start)..<max(max(0, -start), min(own.count, columns - start)) {
            sums[start + k] += factor * coefficient.value * own[k]
          }
        }
      }
      for column in values.indices { values[column] = Float(scale * sums[column]) }
    }
  }

  func transposed() -> (any WeightUpdate)? {
    WaveletUpdate(
      rows: columns, columns: rows, places: places.map { ($0.column, $0.row) },
      spectrum: spectrum, scale: scale, filter: filter)
  }
}
