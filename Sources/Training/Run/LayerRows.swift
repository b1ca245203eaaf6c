import Kernels

/// The weight of a linear layer as new adapters see it, `out × in`.
struct LayerRows: RowSource {
  let layer: Linear

  var rows: Int { layer.outFeatures }
  var columns: Int { layer.inFeatures }

  func read(into band: RowBand) {
    let matrix = layer.weight.matrix
    let row = ScalarBuffer<Float>(count: matrix.columns)
    guard let start = row.values.baseAddress else { return }
    if layer.storedTransposed {
      for column in 0..<matrix.rows {
        matrix.read(row: column, into: start)
        for index in band.rows { band[index][column] = row.values[index] }
      }
    } else {
      for index in band.rows {
        matrix.read(row: index, into: start)
        _ = band[index].update(fromContentsOf: row.values)
      }
    }
  }
}

/// The numbers of a vector as one column.
struct VectorRows: RowSource {
  let values: Row<Float>

  var rows: Int { values.count }
  var columns: Int { 1 }

  func read(into band: RowBand) {
    _ = band.values.update(fromContentsOf: values[band.rows])
  }
}
