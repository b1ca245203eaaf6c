import Testing

@testable import Kernels

extension KernelPaths {
  @Suite struct Comparisons {
    /// The result in the order that `RowComparison` promises.
    private func twin(_ a: [Float], _ b: [Float]) -> RowComparison {
      var lanes = [[Double]](repeating: [Double](repeating: 0, count: 8), count: 4)
      var result = RowComparison()
      for (index, (x, y)) in zip(a, b).enumerated() {
        if x.bitPattern != y.bitPattern { result.differing += 1 }
        guard x.isFinite, y.isFinite else {
          result.notFinite += 1
          if !(x.isNaN && y.isNaN), x != y { result.mismatched += 1 }
          continue
        }
        let (p, q) = (Double(x), Double(y))
        for (sum, term) in [p * p, q * q, (p - q) * (p - q), abs(p - q)].enumerated() {
          lanes[sum][index % 8] += term
        }
        result.largest = max(result.largest, abs(p - q))
      }
      let sums = lanes.map { lanes in
        let four = (0..<4).map { lanes[$0] + lanes[$0 + 4] }
        return (four[0] + four[2]) + (four[1] + four[3])
      }
      (result.aSquared, result.bSquared) = (sums[0], sums[1])
      (result.differenceSquared, result.differenceSum) = (sums[2], sums[3])
      return result
    }

    private static let special: [Float] = [
      .nan, -.nan, .infinity, -.infinity, 0, -0.0, .greatestFiniteMagnitude,
      -.greatestFiniteMagnitude, .leastNonzeroMagnitude, 1,
      Float(bitPattern: 0x7FC0_0001), Float(bitPattern: 0xFFA0_0000),
    ]

    @Test func sumsAndCounts() {
      var random = SplitMix64(seed: 30)
      for count in Array(0...40) + [511, 1000] {
        var (a, b) = (random.floats(count, 3), random.floats(count, 3))
        for index in 0..<count where index % 5 == 0 { b[index] = a[index] }
        for index in 0..<count where index % 7 == 3 {
          a[index] = Self.special[Int.random(in: 0..<Self.special.count, using: &random)]
          b[index] = Self.special[Int.random(in: 0..<Self.special.count, using: &random)]
        }
        let expected = twin(a, b)
        KernelPaths.each { path in
          let found = a.withUnsafeBufferPointer { a in
            b.withUnsafeBufferPointer { RowComparison(a, $0) }
          }
          #expect(found == expected, "\(path) \(count)")
        }
      }
    }

    /// Every pair of special values on its own.
    @Test func specialValues() {
      for x in Self.special {
        for y in Self.special {
          let expected = twin([x], [y])
          KernelPaths.each { path in
            let found = [x].withUnsafeBufferPointer { a in
              [y].withUnsafeBufferPointer { RowComparison(a, $0) }
            }
            #expect(found == expected, "\(path) \(x.hex) \(y.hex)")
          }
        }
      }
    }

    /// All numbers of a 16-bit type in their order; both zeros have one place.
    private func places(_ element: ElementType) -> [UInt16: Int] {
      var places: [UInt16: Int] = [:]
      for bits in UInt16.min...UInt16.max {
        let value = element.widened([UInt8(bits & 0xFF), UInt8(bits >> 8)])[0]
        guard value.isFinite else { continue }
        places[bits] = bits < 0x8000 ? Int(bits) : -Int(bits - 0x8000)
      }
      return places
    }

    private func bytes(_ words: [UInt16]) -> [UInt8] {
      words.flatMap { [UInt8($0 & 0xFF), UInt8($0 >> 8)] }
    }

    @Test(arguments: [ElementType.f16, .bf16])
    func distancesOf16Bits(_ element: ElementType) {
      let places = places(element)
      // The order of the places is that of the values.
      let ordered = places.sorted { $0.value < $1.value }.map { bits, _ in
        element.widened(bytes([bits]))[0]
      }
      #expect(zip(ordered, ordered.dropFirst()).allSatisfy { $0 <= $1 })
      let others: [UInt16] = [0, 0x8000, 1, 0x8001, 0x3C00, 0xBF80, 0x7BFF, 0xFF7F, 0x7F80]
      for (index, bits) in (UInt16.min...UInt16.max).enumerated() {
        let other = others[index % others.count]
        let expected = places[bits].flatMap { x in places[other].map { abs(x - $0) } } ?? 0
        let found = bytes([bits]).withUnsafeBytes { a in
          bytes([other]).withUnsafeBytes { element.largestDistance(a, $0) }
        }
        if found != expected {
          Issue.record("\(bits) \(other): \(found), expected \(expected)")
          return
        }
      }
      var random = SplitMix64(seed: 31)
      for count in [1, 15, 16, 17, 100] {
        let a = (0..<count).map { _ in UInt16.random(in: 0...0xFFFF, using: &random) }
        let b = (0..<count).map { _ in UInt16.random(in: 0...0xFFFF, using: &random) }
        let expected = zip(a, b).compactMap { x, y in
          places[x].flatMap { p in places[y].map { abs(p - $0) } }
        }.max()
        KernelPaths.each { path in
          let found = bytes(a).withUnsafeBytes { a in
            bytes(b).withUnsafeBytes { element.largestDistance(a, $0) }
          }
          #expect(found == expected ?? 0, "\(path) \(count)")
        }
      }
    }

    @Test func distancesOf32Bits() {
      func distance(_ a: [Float], _ b: [Float]) -> Int {
        a.withUnsafeBytes { a in b.withUnsafeBytes { ElementType.f32.largestDistance(a, $0) } }
      }
      KernelPaths.each { path in
        #expect(distance([1], [Float(1).nextUp]) == 1, "\(path)")
        #expect(distance([0], [-0.0]) == 0, "\(path)")
        #expect(
          distance([.leastNonzeroMagnitude], [-.leastNonzeroMagnitude]) == 2, "\(path)")
        #expect(
          distance([-.greatestFiniteMagnitude], [.greatestFiniteMagnitude]) == 0xFEFF_FFFE,
          "\(path)")
        #expect(distance([.infinity, .nan, 2], [1, 1, 2]) == 0, "\(path)")
        var long = [Float](repeating: 1, count: 37)
        let other = long
        long[36] = 0.5
        #expect(distance(long, other) == 1 << 23, "\(path)")
      }
    }

    @Test func cosineDistanceKeepsItsPrecision() {
      func distance(_ a: [Float], _ b: [Float]) -> Double? {
        a.withUnsafeBufferPointer { a in
          b.withUnsafeBufferPointer { RowComparison(a, $0).cosineDistance }
        }
      }
      #expect(distance([1, 0], [0, 2]) == 1)
      #expect(distance([3, 4], [-6, -8]) == 2)
      #expect(distance([3, 4], [3, 4]) == 0)
      #expect(distance([0, 0], [1, 0]) == nil)
      // 1 − cos of an angle of 2⁻²⁰ is 2⁻⁴¹, which 1 − ⟨a, b⟩/(‖a‖·‖b‖) would give to 11 bits.
      let small = distance([1, 0], [1, 0x1p-20]) ?? 0
      #expect(abs(small / 0x1p-41 - 1) < 1e-9)
    }
  }
}
