/// The part of a weight that belongs to some of its singular values, `Σ σₖ·uₖ·vₖᵀ`, as a product B·A.
///
/// The vectors of the smaller side are eigenvectors of the Gram matrix, taken in f64; the other factor
/// is their product with W, so that no division is needed. Signs of singular vectors cancel. Where the
/// singular values on both sides of a cut differ by δ, the part is within about 2⁻⁵³·σ₁²/δ of the true
/// one, against 2⁻²⁴·σ₁·σ/δ for a decomposition in f32. Time grows with the cube of the smaller side.
struct SingularPart {
  let rank: Int
  /// `rows × rank`, row-major.
  let b: [Double]
  /// `rank × columns`, row-major.
  let a: [Double]

  /// - Parameters:
  ///   - source: W0, read whole.
  ///   - places: which singular values, counted from the largest.
  init(of source: any RowSource, places: Range<Int>) throws {
    let (rows, columns) = (source.rows, source.columns)
    rank = places.count
    let weight = try source.readAll()
    let isWide = rows <= columns
    // Vectors along the longer side, one per place of the shorter.
    let lines = isWide ? weight : transpose(weight, rows: rows, columns: columns)
    let (count, length) = (min(rows, columns), max(rows, columns))
    let gram = Self.gram(lines, count: count, length: length)
    let vectors = try SymmetricEigen(gram).vectors
    let short = DenseMatrix(
      rows: rank, columns: count,
      values: Array(vectors.values[places.lowerBound * count..<places.upperBound * count]))
    let long = Self.product(short, lines, length: length)
    b = isWide ? short.transposed.values : long.transposed.values
    a = isWide ? long.values : short.values
  }

  /// The dot products of all pairs of lines.
  private static func gram(_ lines: [Float], count: Int, length: Int) -> DenseMatrix {
    var gram = DenseMatrix(rows: count, columns: count)
    lines.withUnsafeBufferPointer { lines in
      func line(_ index: Int) -> UnsafeBufferPointer<Float> {
        UnsafeBufferPointer(rebasing: lines[index * length..<(index + 1) * length])
      }
      for row in 0..<count {
        for column in 0...row {
          let value = VectorArithmetic.dot(line(row), line(column))
          (gram[row, column], gram[column, row]) = (value, value)
        }
      }
    }
    return gram
  }

  /// `short · lines`, summed in ascending order of lines.
  private static func product(_ short: DenseMatrix, _ lines: [Float], length: Int) -> DenseMatrix {
    var result = DenseMatrix(rows: short.rows, columns: length)
    result.values.withUnsafeMutableBufferPointer { result in
      lines.withUnsafeBufferPointer { lines in
        for line in 0..<short.columns {
          let values = lines[line * length..<(line + 1) * length]
          for row in 0..<short.rows {
            let factor = short[row, line]
            let target = UnsafeMutableBufferPointer(
              rebasing: result[row * length..<(row + 1) * length])
            for (index, value) in values.enumerated() { target[index] += factor * Double(value) }
          }
        }
      }
    }
    return result
  }
}
