import Testing

@testable import Kernels

@Suite struct FourierTransformTests {
  /// Against the sum that defines it; all lengths to 30, primes, and one with a large prime factor.
  @Test(arguments: Array(1...30) + [64, 97, 129, 4 * 43])
  func definition(length: Int) {
    var numbers = TestNumbers(seed: UInt32(length))
    var memory = numbers.doubles(2 * length) + [Double](repeating: 0, count: 2 * length)
    let transform = FourierTransform(length: length)
    memory.withUnsafeMutableBufferPointer {
      let start = $0.baseAddress!
      transform.sum(
        .init(real: start, imaginary: start + length),
        into: .init(real: start + 2 * length, imaginary: start + 3 * length))
    }
    for j in 0..<length {
      var (real, imaginary) = (0.0, 0.0)
      for k in 0..<length {
        let root = ElementaryFunctions.sineAndCosine(turns: j * k % length, of: length)
        let (x, y) = (memory[k], memory[length + k])
        real += x * root.cosine - y * root.sine
        imaginary += x * root.sine + y * root.cosine
      }
      #expect(abs(memory[2 * length + j] - real) < 1e-12)
      #expect(abs(memory[3 * length + j] - imaginary) < 1e-12)
    }
  }
}

@Suite struct WaveletTests {
  private static let names =
    (1...10).map { "db\($0)" } + (2...10).map { "sym\($0)" } + (1...3).map { "coif\($0)" }

  @Test(arguments: names)
  func isOrthogonal(name: String) throws {
    let h = try #require(Wavelet.filter(name))
    let g = Wavelet.highPass(h)
    #expect(abs(h.reduce(0, +) - 2.squareRoot()) < 1e-14)
    for shift in stride(from: 0, to: h.count, by: 2) {
      let own = zip(h, h.dropFirst(shift)).reduce(0) { $0 + $1.0 * $1.1 }
      let mixed = zip(h, g.dropFirst(shift)).reduce(0) { $0 + $1.0 * $1.1 }
      #expect(abs(own - (shift == 0 ? 1 : 0)) < 1e-14)
      #expect(abs(mixed) < 1e-14)
    }
  }

  /// Σ (−1)ᵏ·kᵖ·h[k] = 0 for as many p as the name says (of coif: twice as many), and no more for db.
  @Test(arguments: names)
  func vanishingMoments(name: String) throws {
    let h = try #require(Wavelet.filter(name))
    let order = try #require(Int(name.drop { !$0.isNumber }))
    let moments = name.hasPrefix("coif") ? 2 * order : order
    // Powers of the distance from the middle, scaled to one.
    func moment(_ p: Int) -> Double {
      let middle = Double(h.count - 1) / 2
      return h.enumerated().reduce(0) { sum, element in
        let x = (Double(element.offset) - middle) / middle
        let power = (0..<p).reduce(1.0) { product, _ in product * x }
        return sum + (element.offset & 1 == 0 ? 1 : -1) * power * element.element
      }
    }
    for p in 0..<moments { #expect(abs(moment(p)) < 1e-12, "\(p)") }
    if name.hasPrefix("db") { #expect(abs(moment(moments)) > 1e-8) }
  }

  @Test func namesOfTheSame() {
    #expect(Wavelet.filter("haar") == Wavelet.filter("db1"))
    #expect(Wavelet.filter("sym2") == Wavelet.filter("db2"))
    #expect(Wavelet.filter("coif4") == nil)
    #expect(Wavelet.filter("bior2.2") == nil)
  }
}
