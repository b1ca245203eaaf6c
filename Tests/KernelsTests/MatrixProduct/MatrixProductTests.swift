import CKernels
import Testing

@testable import Kernels

extension KernelPaths {
  /// Every product is compared with its definition bit for bit.
  @Suite struct MatrixProducts {
    struct Case: CustomStringConvertible {
      var rows: Int
      var columns: Int
      var depth: Int
      var aTransposed = false
      var bTransposed = false

      var description: String {
        "\(rows)×\(columns)×\(depth)\(aTransposed ? " Aᵀ" : "")\(bTransposed ? " Bᵀ" : "")"
      }
    }

    /// Shapes around the tiles' edges, each in the layouts of forward, input gradient and weight gradient.
    static let cases: [Case] = {
      let shapes = [
        (1, 1, 1), (1, 33, 5), (3, 16, 2), (14, 32, 7), (15, 31, 16), (29, 65, 17), (6, 8, 31),
        (8, 12, 33), (2, 300, 9), (113, 3, 4), (16, 40, 260),
        // Narrow ones, computed as their transposes, by one thread and by several.
        (40, 1, 9), (150, 8, 19), (700, 7, 40), (1300, 1, 110), (530, 16, 21), (2, 140, 600),
      ]
      return shapes.flatMap { rows, columns, depth in
        [(false, true), (false, false), (true, false), (true, true)].map {
          Case(
            rows: rows, columns: columns, depth: depth, aTransposed: $0.0, bTransposed: $0.1)
        }
      }
    }()

    private func compare(_ name: String, _ shape: Case, found: [Float], expected: [Float]) {
      for index in expected.indices where found[index].bitPattern != expected[index].bitPattern {
        Issue.record(
          "\(name), \(shape), element \(index): \(found[index].hex), not \(expected[index].hex)")
        return
      }
    }

    @Test(arguments: MatrixPrecision.allCases)
    func everyLayoutOnEveryPath(precision: MatrixPrecision) {
      var random = SplitMix64(seed: 7)
      let pool = ThreadPool(count: 2)
      for shape in Self.cases {
        let (rows, columns, depth) = (shape.rows, shape.columns, shape.depth)
        var twin = ProductTwin(
          rows: rows, columns: columns, depth: depth, a: random.floats(rows * depth, 2),
          b: random.floats(depth * columns, 2), precision: precision)
        let bias = random.floats(columns, 1)
        let before = random.floats(rows * columns, 1)
        let a = TestMatrix(
          twin.a, rows: rows, columns: depth, transposed: shape.aTransposed, gap: 1)
        let b = TestMatrix(
          twin.b, rows: depth, columns: columns, transposed: shape.bTransposed, gap: 3)
        let fromZero = twin.result { _, _ in 0 }
        let fromBias = twin.result { bias[$1] }
        twin.scale = 0.3
        let fromResult = twin.result { before[$0 * columns + $1] }
        ProductPaths.each { name in
          let c = TestMatrix(before, rows: rows, columns: columns, gap: 2)
          pool.multiply(
            a.view, b.view, scale: 0.3, start: .result, precision: precision, into: c.view)
          compare(name, shape, found: c.values, expected: fromResult)
          pool.multiply(a.view, b.view, precision: precision, into: c.view)
          compare(name, shape, found: c.values, expected: fromZero)
          bias.withUnsafeBufferPointer {
            guard let start = $0.baseAddress else { return }
            pool.multiply(
              a.view, b.view, start: .bias(start), precision: precision, into: c.view)
          }
          compare(name, shape, found: c.values, expected: fromBias)
        }
      }
    }

    /// Held in 16 bit, a matrix gives what its widened elements give.
    @Test(arguments: MatrixPrecision.allCases)
    func storedMatrices(precision: MatrixPrecision) {
      var random = SplitMix64(seed: 11)
      let pool = ThreadPool(count: 2)
      for (rows, columns, depth) in [(5, 37, 21), (17, 4, 40), (3, 20, 530)] {
        for transposed in [false, true] {
          let (height, width) = transposed ? (columns, depth) : (depth, columns)
          let x = TestMatrix(random.floats(rows * depth, 1), rows: rows, columns: depth)
          for element in ElementType.allCases {
            let bytes = element.rounded(random.floats(height * width, 1))
            let widened = element.widened(bytes)
            bytes.withUnsafeBytes { raw in
              guard let start = raw.baseAddress else { return }
              let matrix = StoredMatrix(
                start, element: element, rows: height, columns: width, owner: nil)
              compare(
                matrix, of: widened, timesRightOf: x, transposed: transposed,
                precision: precision, pool, "\(element)")
            }
          }
        }
      }
    }

    /// x times `matrix`, or its transpose, is x times the matrix of its elements, `widened`, on every path.
    private func compare(
      _ matrix: StoredMatrix, of widened: [Float], timesRightOf x: TestMatrix, transposed: Bool,
      precision: MatrixPrecision, _ pool: ThreadPool, _ form: String
    ) {
      let plain = TestMatrix(widened, rows: matrix.rows, columns: matrix.columns)
      let (rows, depth) = (x.view.rows, x.view.columns)
      let columns = transposed ? matrix.rows : matrix.columns
      let expected = TestMatrix(
        [Float](repeating: 0, count: rows * columns), rows: rows, columns: columns)
      pool.multiply(
        x.view, transposed ? plain.view.transposed : plain.view, precision: precision,
        into: expected.view)
      ProductPaths.each { name in
        let c = TestMatrix(
          [Float](repeating: 9, count: rows * columns), rows: rows, columns: columns)
        pool.multiply(
          x.view, matrix, transposed: transposed, precision: precision, into: c.view)
        compare(
          "\(name) \(form)",
          Case(rows: rows, columns: columns, depth: depth, bTransposed: transposed),
          found: c.values, expected: expected.values)
      }
    }

    /// Quantized, a matrix gives what its decoded elements give: any code, block size and form of the
    /// scales, blocks that run across rows, rows of an odd length.
    @Test(arguments: MatrixPrecision.allCases)
    func packedMatrices(precision: MatrixPrecision) throws {
      var random = SplitMix64(seed: 12)
      let pool = ThreadPool(count: 2)
      for (rows, columns, depth) in [(5, 37, 21), (3, 20, 530), (2, 301, 67)] {
        for transposed in [false, true] {
          let (height, width) = transposed ? (columns, depth) : (depth, columns)
          let x = TestMatrix(random.floats(rows * depth, 1), rows: rows, columns: depth)
          let bytes = ElementType.bf16.rounded(random.floats(height * width, 1))
          for matrix in try quantized(bytes, rows: height, columns: width) {
            var widened = [Float](repeating: 0, count: height * width)
            widened.withUnsafeMutableBufferPointer { matrix.decodeRows(0..<height, into: $0) }
            compare(
              StoredMatrix(PackedMatrix(matrix)), of: widened, timesRightOf: x,
              transposed: transposed, precision: precision, pool, "\(matrix.columns)")
          }
        }
      }
    }

    /// A matrix of bf16 in every form.
    private func quantized(
      _ bytes: [UInt8], rows: Int, columns: Int
    ) throws -> [QuantizedMatrix] {
      try bytes.withUnsafeBytes { source in
        var found = [
          QuantizedMatrix(
            try Int8Tensor(quantizing: source, as: .bf16, rows: rows, columns: columns))
        ]
        for (code, block, nested) in [
          (FourBitCode.nf4, 64, NestedRounding.bnbCPU), (.fp4, 64, .bnbCPU), (.nf4, 32, nil),
          (.nf4, 4096, .nearest),
        ] as [(FourBitCode, Int, NestedRounding?)] {
          let tensor = try FourBitTensor(
            quantizing: source, as: .bf16, format: FourBitFormat(code: code, blockSize: block),
            doubleQuantization: nested)
          found.append(try QuantizedMatrix(tensor, rows: rows, columns: columns))
        }
        return found
      }
    }

    /// Large enough for many jobs and several blocks of sums; compared with one worker, which itself is
    /// compared above.
    @Test func workersMakeNoDifference() {
      var random = SplitMix64(seed: 3)
      let (rows, columns, depth) = (70, 600, 300)
      let a = TestMatrix(random.floats(rows * depth, 1), rows: rows, columns: depth)
      let b = TestMatrix(
        random.floats(columns * depth, 1), rows: depth, columns: columns, transposed: true)
      let results = [1, 2, 3, 7].map { count in
        let c = TestMatrix(
          [Float](repeating: 0, count: rows * columns), rows: rows, columns: columns)
        let pool = ThreadPool(count: count)
        pool.multiply(a.view, b.view, into: c.view)
        return c.values.map(\.bitPattern)
      }
      for result in results.dropFirst() { #expect(result == results[0]) }
    }

    /// Numbers at the ends of the range, where bf16 products lose subnormals.
    @Test func bfloatSubnormals() {
      let values: [Float] = [
        0x1p-130, -0x1p-130, 1.2e-38, 0x1p-126, -0x1p-126, 0x1.8p-126, 1e-20, -1e-20, 3e-19, 0,
        -0.0, 1,
        0x1.00ffp-126, 0x1.fep-127,
      ]
      let count = values.count
      let pool = ThreadPool(count: 1)
      var random = SplitMix64(seed: 5)
      let a = (0..<20 * count).map { _ in values.randomElement(using: &random) ?? 0 }
      let b = (0..<count * 40).map { _ in values.randomElement(using: &random) ?? 0 }
      let twin = ProductTwin(
        rows: 20, columns: 40, depth: count, a: a, b: b, precision: .bf16)
      let expected = twin.result { _, _ in 0 }
      ProductPaths.each { name in
        let c = TestMatrix([Float](repeating: 0, count: 800), rows: 20, columns: 40)
        let (left, right) = (
          TestMatrix(a, rows: 20, columns: count), TestMatrix(b, rows: count, columns: 40)
        )
        withExtendedLifetime((left, right)) {
          pool.multiply(left.view, right.view, precision: .bf16, into: c.view)
        }
        compare(
          name, Case(rows: 20, columns: 40, depth: count), found: c.values, expected: expected)
      }
    }

    @Test func emptyProducts() {
      let pool = ThreadPool(count: 1)
      let c = TestMatrix([5, 6], rows: 1, columns: 2)
      let (left, right) = (
        TestMatrix([], rows: 1, columns: 0), TestMatrix([], rows: 0, columns: 2)
      )
      withExtendedLifetime((left, right)) {
        pool.multiply(left.view, right.view, start: .result, into: c.view)
        #expect(c.values == [5, 6])
        pool.multiply(left.view, right.view, into: c.view)
        #expect(c.values == [0, 0])
      }
    }

    /// Products inside of jobs: each worker does its own.
    @Test func productsInsideOfJobs() {
      let pool = ThreadPool(count: 3)
      let a = TestMatrix([1, 2, 3, 4], rows: 2, columns: 2)
      let results = (0..<8).map { _ in TestMatrix([0, 0, 0, 0], rows: 2, columns: 2) }
      pool.run(8) { pool.multiply(a.view, a.view, into: results[$0].view) }
      for result in results { #expect(result.values == [7, 10, 15, 22]) }
    }
  }
}

/// The kernels' paths, and AVX-512 with and without products of bf16.
private enum ProductPaths {
  static func each(_ body: (_ name: String) -> Void) {
    let chosen = ck_get_bf16_products()
    defer { _ = ck_set_bf16_products(chosen) }
    for taken: Int32 in [0, 1] where ck_set_bf16_products(taken) == 0 {
      KernelPaths.each { body(taken == 0 ? $0 : "\($0) with VDPBF16PS") }
    }
  }
}
