import Testing

@testable import Kernels

extension KernelPaths {
  @Suite struct Vectors {
    /// The sum in the order that `VectorArithmetic` promises.
    private func twinDot(_ x: [Float], _ y: [Float]) -> Double {
      var lanes = [Double](repeating: 0, count: 32)
      for index in x.indices { lanes[index % 32] += Double(x[index]) * Double(y[index]) }
      while lanes.count > 1 {
        let half = lanes.count / 2
        lanes = (0..<half).map { lanes[$0] + lanes[$0 + half] }
      }
      return lanes[0]
    }

    @Test func dotHasItsOrder() {
      var random = SplitMix64(seed: 10)
      for count in Array(0...70) + [1000, 1023] {
        let (x, y) = (random.floats(count, 3), random.floats(count, 1))
        let expected = twinDot(x, y)
        let exact = zip(x, y).map { Double($0) * Double($1) }
        let bound = (Double(count) / 32 + 5) * 0x1p-53 * exact.map(\.magnitude).reduce(0, +)
        KernelPaths.each { path in
          x.withUnsafeBufferPointer { x in
            y.withUnsafeBufferPointer { y in
              #expect(
                VectorArithmetic.dot(x, y).bitPattern == expected.bitPattern, "\(path) \(count)")
            }
            #expect(VectorArithmetic.sumOfSquares(x) == twinDot(Array(x), Array(x)))
          }
        }
        // Kahan's sum is within two roundings of the exact one.
        var (sum, lost) = (0.0, 0.0)
        for term in exact {
          let next = term - lost
          let total = sum + next
          lost = (total - sum) - next
          sum = total
        }
        #expect(abs(sum - expected) <= bound + 4 * 0x1p-53 * exact.map(\.magnitude).reduce(0, +))
      }
    }

    @Test func normNeitherOverflowsNorVanishes() {
      KernelPaths.each { path in
        let norms = [[Float](repeating: 1e38, count: 4), [0x3p-140, 0x4p-140], [], [-5]].map {
          $0.withUnsafeBufferPointer { VectorArithmetic.norm($0) }
        }
        #expect(
          norms[0] == 2e38 && norms[1] == 0x5p-140 && norms[2] == 0 && norms[3] == 5, "\(path)")
      }
    }

    /// Exact sums that lie next to the middle between two f32, by too little for an f64 to tell.
    @Test func fusedProductsAreRoundedOnce() {
      var random = SplitMix64(seed: 16)
      var (x, y, factor): ([Float], [Float], Float) = ([], [], 1 + 0x1p-12)
      for place in 20..<100 {
        for sign: Float in [1, -1] {
          let tiny = Float(sign: .plus, exponent: -place, significand: 1)
          x += [factor, -factor, factor, 1 - 0x1p-12]
          y += [sign * tiny, sign * tiny, sign * (tiny + tiny.ulp), sign * tiny]
        }
      }
      for _ in 0..<2000 {
        x.append(Float(bitPattern: UInt32.random(in: 0...UInt32.max, using: &random)))
        y.append(Float(bitPattern: UInt32.random(in: 0...UInt32.max, using: &random)))
      }
      for scale: Float in [1, 0x1p-126, -0x1p-140, 0x1p100] {
        factor = (1 + 0x1p-12) * scale
        let y = y.map { $0 * scale }
        KernelPaths.each { path in
          var sum = y
          x.withUnsafeBufferPointer { x in
            sum.withUnsafeMutableBufferPointer { VectorArithmetic.add(x, times: factor, to: $0) }
          }
          for index in x.indices {
            let expected = y[index].addingProduct(factor, x[index])
            #expect(
              sum[index].bitPattern == expected.bitPattern || sum[index].isNaN && expected.isNaN,
              "\(path): \(factor.hex)·\(x[index].hex) + \(y[index].hex)")
          }
        }
      }
    }

    @Test func elementwise() {
      var random = SplitMix64(seed: 11)
      for count in Array(0...70) {
        let (x, y) = (random.floats(count, 3), random.floats(count, 1))
        let squares = (0..<count).map { Double($0) }
        KernelPaths.each { path in
          var (sum, scaled, columns) = (y, x, squares)
          x.withUnsafeBufferPointer { x in
            sum.withUnsafeMutableBufferPointer { VectorArithmetic.add(x, times: 0.3, to: $0) }
            columns.withUnsafeMutableBufferPointer { VectorArithmetic.addSquares(of: x, to: $0) }
          }
          scaled.withUnsafeMutableBufferPointer { VectorArithmetic.scale($0, by: 0.7) }
          #expect(sum == zip(x, y).map { $1.addingProduct(0.3, $0) }, "\(path) \(count)")
          #expect(scaled == x.map { $0 * 0.7 })
          #expect(columns == zip(x, squares).map { $1 + Double($0) * Double($0) })
        }
      }
    }
  }
}
