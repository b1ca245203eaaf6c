import Testing

@testable import Kernels

private func random(_ rows: Int, _ columns: Int, seed: UInt32) -> DenseMatrix {
  var numbers = TestNumbers(seed: seed)
  return DenseMatrix(rows: rows, columns: columns, values: numbers.doubles(rows * columns))
}

/// The largest difference of two matrices, element by element.
private func difference(_ a: DenseMatrix, _ b: DenseMatrix) -> Double {
  guard a.rows == b.rows, a.columns == b.columns else { return .infinity }
  var result = 0.0
  for (x, y) in zip(a.values, b.values) {
    result = max(result, (x - y).isNaN ? .infinity : abs(x - y))
  }
  return result
}

private func isOrthonormal(rowsOf matrix: DenseMatrix) -> Bool {
  difference(matrix.multiplied(by: matrix.transposed), DenseMatrix(identity: matrix.rows)) < 1e-13
}

private func diagonal(_ values: [Double]) -> DenseMatrix {
  var result = DenseMatrix(rows: values.count, columns: values.count)
  for (index, value) in values.enumerated() { result[index, index] = value }
  return result
}

private let shapes = [
  (1, 1), (2, 2), (5, 5), (16, 16), (7, 3), (3, 7), (20, 1), (1, 20), (33, 17), (12, 40),
]

@Suite struct LUDecompositionTests {
  @Test(arguments: [1, 2, 3, 8, 21])
  func solvesAsMultiplied(size: Int) throws {
    let a = random(size, size, seed: UInt32(size))
    let x = random(size, 4, seed: 99)
    let lu = try LUDecomposition(a)
    #expect(difference(lu.solve(a.multiplied(by: x)), x) < 1e-11)
    let column = (0..<size).map { x[$0, 1] }
    let b = a.multiplied(by: DenseMatrix(rows: size, columns: 1, values: column))
    let found = lu.solve(b.values)
    #expect(zip(found, column).allSatisfy { abs($0 - $1) < 1e-11 })
  }

  /// A zero where the first pivot would be.
  @Test func exchangesRows() throws {
    let a = DenseMatrix(rows: 2, columns: 2, values: [0, 2, 4, 6])
    #expect(try LUDecomposition(a).solve([2, 10]) == [1, 1])
  }

  @Test func refusesWhatHasNoInverse() {
    let a = DenseMatrix(rows: 2, columns: 2, values: [1, 2, 2, 4])
    #expect(throws: LUDecomposition.Singular(column: 1)) { try LUDecomposition(a) }
    #expect(throws: LUDecomposition.Singular(column: 0)) {
      try LUDecomposition(DenseMatrix(rows: 1, columns: 1, values: [.nan]))
    }
  }
}

@Suite struct QRDecompositionTests {
  @Test(arguments: shapes)
  func productAndShape(rows: Int, columns: Int) {
    let a = random(rows, columns, seed: 5)
    let qr = QRDecomposition(a)
    #expect(difference(qr.q.multiplied(by: qr.r), a) < 1e-14)
    #expect(isOrthonormal(rowsOf: qr.q.transposed))
    for row in 0..<qr.r.rows {
      for column in 0..<min(row, columns) { #expect(qr.r[row, column] == 0) }
    }
  }

  @Test func knownMatrix() {
    // Columns of length 5; the second lies in the first and one direction beside it.
    let qr = QRDecomposition(DenseMatrix(rows: 2, columns: 2, values: [3, 4, 4, -3]))
    #expect(difference(qr.r, DenseMatrix(rows: 2, columns: 2, values: [-5, 0, 0, 5])) < 1e-14)
  }

  @Test func dependentColumns() {
    let a = DenseMatrix(rows: 4, columns: 3, values: [1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2, 0])
    let qr = QRDecomposition(a)
    #expect(difference(qr.q.multiplied(by: qr.r), a) < 1e-14)
    #expect(isOrthonormal(rowsOf: qr.q.transposed))
  }
}

@Suite struct SymmetricEigenTests {
  private func check(_ a: DenseMatrix, _ label: String) throws {
    let eigen = try SymmetricEigen(a)
    let scale = max(1, eigen.values.map { abs($0) }.max() ?? 1)
    let again = eigen.vectors.transposed.multiplied(by: diagonal(eigen.values))
      .multiplied(by: eigen.vectors)
    #expect(difference(again, a) < 1e-13 * scale * Double(max(a.rows, 1)), "\(label)")
    #expect(isOrthonormal(rowsOf: eigen.vectors), "\(label)")
    #expect(zip(eigen.values, eigen.values.dropFirst()).allSatisfy { $0 >= $1 }, "\(label)")
  }

  @Test(arguments: [0, 1, 2, 3, 10, 37])
  func randomMatrices(size: Int) throws {
    let a = random(size, size, seed: UInt32(size + 1))
    var symmetric = a
    for index in symmetric.values.indices { symmetric.values[index] += a.transposed.values[index] }
    try check(symmetric, "\(size)")
  }

  /// −1, 2, −1 along the diagonals: eigenvalues 2 − 2·cos(kπ/(n + 1)).
  @Test func knownEigenvalues() throws {
    let size = 9
    var a = DenseMatrix(rows: size, columns: size)
    for index in 0..<size {
      a[index, index] = 2
      if index > 0 { (a[index, index - 1], a[index - 1, index]) = (-1, -1) }
    }
    try check(a, "chain")
    let expected = (1...size).map {
      2 - 2 * ElementaryFunctions.sineAndCosine(turns: $0, of: 2 * (size + 1)).cosine
    }.sorted(by: >)
    #expect(zip(try SymmetricEigen(a).values, expected).allSatisfy { abs($0 - $1) < 1e-14 })
  }

  @Test func repeatedAndGradedEigenvalues() throws {
    try check(DenseMatrix(identity: 12), "identity")
    try check(DenseMatrix(rows: 6, columns: 6), "zero")
    try check(diagonal([1e-12, 3, 3, -5, 1e9, 0, 3]), "diagonal")
    var blocks = DenseMatrix(rows: 8, columns: 8)
    for index in 0..<4 {
      (blocks[2 * index, 2 * index], blocks[2 * index + 1, 2 * index + 1]) = (2, 2)
      (blocks[2 * index, 2 * index + 1], blocks[2 * index + 1, 2 * index]) = (1, 1)
    }
    try check(blocks, "equal blocks")
    let low = random(20, 2, seed: 4)
    try check(low.multiplied(by: low.transposed), "rank 2")
  }

  @Test func refusesWhatIsNotFinite() {
    #expect(throws: SymmetricEigen.NotFinite()) {
      try SymmetricEigen(DenseMatrix(rows: 2, columns: 2, values: [1, .infinity, .infinity, 1]))
    }
  }
}

@Suite struct SingularValueTests {
  private func check(_ a: DenseMatrix, _ label: String) {
    let svd = SingularValues(a)
    let again = svd.left.transposed.multiplied(by: diagonal(svd.values)).multiplied(by: svd.right)
    #expect(difference(again, a) < 1e-13 * max(1, svd.values.first ?? 1), "\(label)")
    #expect(isOrthonormal(rowsOf: svd.left) && isOrthonormal(rowsOf: svd.right), "\(label)")
    #expect(svd.values.allSatisfy { $0 >= 0 }, "\(label)")
    #expect(zip(svd.values, svd.values.dropFirst()).allSatisfy { $0 >= $1 }, "\(label)")
  }

  @Test(arguments: shapes)
  func productAndShape(rows: Int, columns: Int) {
    check(random(rows, columns, seed: 8), "\(rows) × \(columns)")
  }

  @Test func knownValues() {
    let svd = SingularValues(DenseMatrix(rows: 2, columns: 2, values: [3, 0, 4, 5]))
    #expect(abs(svd.values[0] - 45.squareRoot()) < 1e-14)
    #expect(abs(svd.values[1] - 5.squareRoot()) < 1e-14)
  }

  @Test func deficientMatrices() {
    check(DenseMatrix(rows: 5, columns: 3), "zero")
    let low = random(9, 2, seed: 3)
    check(low.multiplied(by: random(2, 6, seed: 4)), "rank 2")
    check(diagonal([1, 1e-8, 1e-30, 0, 1e5]), "graded")
    check(DenseMatrix(rows: 4, columns: 4, values: [Double](repeating: 1, count: 16)), "ones")
  }

  @Test(arguments: [(12, 7), (7, 12), (9, 9)])
  func partsOfAWeight(rows: Int, columns: Int) throws {
    var numbers = TestNumbers(seed: 6)
    let weight = Dense(rows, columns, numbers.doubles(rows * columns))
    let svd = SingularValues(DenseMatrix(rows: rows, columns: columns, values: weight.values))
    for places in [0..<0, 0..<3, 2..<5, 4..<7, 0..<7] {
      let part = try SingularPart(of: DenseSource(weight), places: places)
      var expected = DenseMatrix(rows: rows, columns: columns)
      for place in places {
        for row in 0..<rows {
          for column in 0..<columns {
            expected[row, column] +=
              svd.left[place, row] * svd.values[place] * svd.right[place, column]
          }
        }
      }
      let found = DenseMatrix(rows: rows, columns: places.count, values: part.b)
        .multiplied(by: DenseMatrix(rows: places.count, columns: columns, values: part.a))
      #expect(difference(found, expected) < 1e-12, "\(places)")
    }
  }
}

/// The same bits on every machine: results of one matrix, folded into 64 bits.
@Suite struct DecompositionBitsTests {
  private func folded(_ values: [Double]) -> UInt64 {
    values.reduce(0xcbf2_9ce4_8422_2325) { ($0 ^ $1.bitPattern) &* 0x100_0000_01b3 }
  }

  @Test func bits() throws {
    let a = random(13, 13, seed: 1)
    let gram = a.multiplied(by: a.transposed)
    let qr = QRDecomposition(a)
    let eigen = try SymmetricEigen(gram)
    let svd = SingularValues(a)
    let solution = try LUDecomposition(a).solve(gram)
    let found = [
      folded(qr.q.values + qr.r.values), folded(eigen.values + eigen.vectors.values),
      folded(svd.values + svd.left.values + svd.right.values), folded(solution.values),
    ]
    let expected: [UInt64] = [
      0x22bb_29de_f71a_598f, 0x9e68_88a7_c804_e93e, 0xc472_980b_cf2c_9a1b, 0x6a98_f788_f07f_90ed,
    ]
    #expect(found == expected)
  }
}
