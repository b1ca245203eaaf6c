/// The discrete Fourier transform of any length in f64, by the mixed-radix algorithm of Cooley and Tukey
/// (1965): time grows with the length times the sum of its prime factors. Roots of unity are computed
/// without a library, so that the bits are the same on every machine.
struct FourierTransform: Sendable {
  let length: Int
  private let factors: [Int]
  /// cos and sin of 2πk/length.
  private let cosines: [Double]
  private let sines: [Double]

  /// - Precondition: `length` is positive.
  init(length: Int) {
    precondition(length > 0)
    self.length = length
    var factors: [Int] = []
    var rest = length
    var factor = 2
    while rest > 1 {
      if factor * factor > rest { factor = rest }
      while rest.isMultiple(of: factor) {
        factors.append(factor)
        rest /= factor
      }
      factor += 1
    }
    self.factors = factors
    let roots = (0..<length).map { ElementaryFunctions.sineAndCosine(turns: $0, of: length) }
    cosines = roots.map(\.cosine)
    sines = roots.map(\.sine)
  }

  /// e^(2πi·k/length).
  func root(_ k: Int) -> (real: Double, imaginary: Double) { (cosines[k], sines[k]) }

  /// Numbers in two buffers, their real and their imaginary parts.
  struct Complex {
    let real: UnsafeMutablePointer<Double>
    let imaginary: UnsafeMutablePointer<Double>
  }

  /// `out[j] = Σ_k in[k]·e^(2πi·jk/length)`: the inverse transform without its division.
  ///
  /// - Parameters:
  ///   - input, output: `length` numbers each, apart in memory.
  func sum(_ input: Complex, into output: Complex) {
    transform(
      input, stride: 1, into: output, length: length, factors: factors[...])
  }

  private func transform(
    _ input: Complex, stride: Int, into output: Complex, length: Int, factors: ArraySlice<Int>
  ) {
    guard let radix = factors.first else {
      output.real[0] = input.real[0]
      output.imaginary[0] = input.imaginary[0]
      return
    }
    let part = length / radix
    for r in 0..<radix {
      transform(
        Complex(real: input.real + r * stride, imaginary: input.imaginary + r * stride),
        stride: stride * radix,
        into: Complex(real: output.real + r * part, imaginary: output.imaginary + r * part),
        length: part, factors: factors.dropFirst())
    }
    radix == 2
      ? combinePairs(output, part: part, stride: stride)
      : combine(output, part: part, radix: radix, stride: stride)
  }

  private func combinePairs(_ output: Complex, part: Int, stride: Int) {
    let (real, imaginary) = (output.real, output.imaginary)
    for k in 0..<part {
      let (c, s) = (cosines[k * stride], sines[k * stride])
      let (a, b) = (real[k + part], imaginary[k + part])
      let (x, y) = (c * a - s * b, c * b + s * a)
      (real[k + part], imaginary[k + part]) = (real[k] - x, imaginary[k] - y)
      real[k] += x
      imaginary[k] += y
    }
  }

  private func combine(_ output: Complex, part: Int, radix: Int, stride: Int) {
    withUnsafeTemporaryAllocation(of: (Double, Double).self, capacity: radix) { turned in
      for k in 0..<part {
        for r in 0..<radix {
          let (c, s) = (cosines[r * k * stride], sines[r * k * stride])
          let (a, b) = (output.real[r * part + k], output.imaginary[r * part + k])
          turned[r] = (c * a - s * b, c * b + s * a)
        }
        for q in 0..<radix {
          var (x, y) = turned[0]
          for r in 1..<radix {
            // e^(2πi·rq/radix)
            let index = r * q % radix * (length / radix)
            let (c, s) = (cosines[index], sines[index])
            let (a, b) = turned[r]
            x += c * a - s * b
            y += c * b + s * a
          }
          output.real[q * part + k] = x
          output.imaginary[q * part + k] = y
        }
      }
    }
  }
}
