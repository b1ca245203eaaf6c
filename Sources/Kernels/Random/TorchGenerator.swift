import Foundation

/// PyTorch's CPU generator: the same seed gives the same numbers, in the same order, bit for bit.
///
/// Adapters that do not store their frozen projections are rebuilt with it (VeRA, FourierFT, …), and
/// new adapters are initialised as PEFT initialises them.
///
/// Every draw uses only operations that IEEE 754 defines exactly, except `normal` of fewer than 16
/// numbers, which takes f64 logarithms and sines from the system and rounds them to f32.
public struct TorchGenerator: Sendable {
  private var engine: MersenneTwister
  /// The second number of a Box–Muller pair, kept for the next draw, across calls.
  private var pendingNormal: Double?

  /// As `torch.Generator().manual_seed(seed)`; only the low 32 bits count.
  public init(seed: UInt64) {
    engine = MersenneTwister(seed: UInt32(truncatingIfNeeded: seed))
  }

  public mutating func next32() -> UInt32 { engine.next32() }

  public mutating func next64() -> UInt64 { engine.next() }

  /// Passes over `count` uniform numbers.
  public mutating func skipUniform(_ count: Int) {
    for _ in 0..<count { _ = engine.next32() }
  }

  // MARK: Uniform

  /// As `tensor.uniform_(low, high)` on f32: `fma(u, high − low, low)`, u the low 24 bits of a word
  /// over 2²⁴. A 16-bit tensor receives these numbers rounded.
  public mutating func fillUniform(
    _ values: UnsafeMutableBufferPointer<Float>, from low: Double = 0, to high: Double = 1
  ) {
    let (low, high) = (Float(low), Float(high))
    let width = high - low
    for index in values.indices {
      let u = Float(engine.next32() & 0xff_ffff) * 0x1p-24
      values[index] = low.addingProduct(u, width)
    }
  }

  /// `count` numbers as `fillUniform`.
  public mutating func uniform(
    _ count: Int, from low: Double = 0, to high: Double = 1
  ) -> [Float] {
    filled(count) { $0.fillUniform($1, from: low, to: high) }
  }

  /// As `torch.nn.init.kaiming_uniform_` on f32: uniform within ±√3·gain/√fanIn.
  ///
  /// - Parameters:
  ///   - fanIn: for a matrix its number of columns.
  ///   - slope: the parameter `a`; gain is √(2/(1 + a²)): √2 by default, √(1/3) for PEFT's √5.
  public mutating func kaimingUniform(_ count: Int, fanIn: Int, slope: Double = 0) -> [Float] {
    guard fanIn > 0 else { return [Float](repeating: 0, count: count) }
    let gain = (2 / (1 + slope * slope)).squareRoot()
    let deviation = gain / Double(fanIn).squareRoot()
    let bound = 3.0.squareRoot() * deviation
    return uniform(count, from: -bound, to: bound)
  }

  // MARK: Normal

  /// As `tensor.normal_(mean, deviation)` on a contiguous f32 tensor.
  ///
  /// From 16 numbers on, PyTorch transforms blocks of 16 uniform numbers with single-precision
  /// polynomials, and draws the last 16 anew where the count is no multiple of 16; below, it draws
  /// f64 pairs.
  public mutating func fillNormal(
    _ values: UnsafeMutableBufferPointer<Float>, mean: Double = 0, deviation: Double = 1
  ) {
    guard values.count >= 16 else {
      for index in values.indices {
        values[index] = Float(normalDouble() * deviation + mean)
      }
      return
    }
    fillUniform(values)
    var start = 0
    while start + 16 <= values.count {
      transformBlock(values, at: start, mean: Float(mean), deviation: Float(deviation))
      start += 16
    }
    if start < values.count {
      let last = values.count - 16
      fillUniform(UnsafeMutableBufferPointer(rebasing: values[last...]))
      transformBlock(values, at: last, mean: Float(mean), deviation: Float(deviation))
    }
  }

  /// `count` numbers as `fillNormal`.
  public mutating func normal(
    _ count: Int, mean: Double = 0, deviation: Double = 1
  ) -> [Float] {
    filled(count) { $0.fillNormal($1, mean: mean, deviation: deviation) }
  }

  private mutating func normalDouble() -> Double {
    if let pending = pendingNormal {
      pendingNormal = nil
      return pending
    }
    let u1 = uniformDouble()
    let u2 = uniformDouble()
    let radius = (-2 * log1p(-u2)).squareRoot()
    let angle = 2 * Double.pi * u1
    pendingNormal = radius * sin(angle)
    return radius * cos(angle)
  }

  private mutating func uniformDouble() -> Double {
    Double(engine.next() & ((1 << 53) - 1)) * 0x1p-53
  }

  // MARK: Permutations

  /// As `torch.randperm(count)`: `first` elements of it, all by default.
  ///
  /// A part is found without building the whole, in memory proportional to `first`. The generator
  /// then stands where it stopped, not where torch's would: draw nothing more from it.
  public mutating func permutation(_ count: Int, first: Int? = nil) -> [Int] {
    let wanted = min(first ?? count, count)
    // From this count on torch uses another algorithm, with 64-bit draws.
    if count >= Int(UInt32.max) / 20 { return insideOutPermutation(count, first: wanted) }
    if wanted == count { return shuffledPermutation(count) }
    // Only positions that a swap has touched differ from their index.
    var moved: [Int: Int] = [:]
    var result: [Int] = []
    result.reserveCapacity(wanted)
    for position in 0..<wanted {
      let other = position + Int(engine.next32()) % (count - position)
      result.append(moved[other] ?? other)
      moved[other] = moved[position] ?? position
    }
    return result
  }

  private mutating func shuffledPermutation(_ count: Int) -> [Int] {
    var result = Array(0..<count)
    for position in 0..<max(count - 1, 0) {
      result.swapAt(position, position + Int(engine.next32()) % (count - position))
    }
    return result
  }

  private mutating func insideOutPermutation(_ count: Int, first: Int) -> [Int] {
    var result = [Int](repeating: 0, count: first)
    for position in 0..<count {
      let other = Int(engine.next() % UInt64(position + 1))
      if position < first { result[position] = result[other] }
      if other < first { result[other] = position }
    }
    return result
  }

  private mutating func filled(
    _ count: Int, _ fill: (inout Self, UnsafeMutableBufferPointer<Float>) -> Void
  ) -> [Float] {
    var generator = self
    defer { self = generator }
    return [Float](unsafeUninitializedCapacity: count) { buffer, initialized in
      buffer.initialize(repeating: 0)
      fill(&generator, buffer)
      initialized = count
    }
  }
}

/// Box–Muller on 16 uniform numbers: the first 8 give the radii, the last 8 the angles; cosines to
/// the first 8, sines to the last.
private func transformBlock(
  _ values: UnsafeMutableBufferPointer<Float>, at start: Int, mean: Float, deviation: Float
) {
  for index in start..<start + 8 {
    let radius = (-2 * logarithm(1 - values[index])).squareRoot()
    let (sine, cosine) = sineAndCosine(Float(2 * Double.pi) * values[index + 8])
    values[index] = mean.addingProduct(radius * cosine, deviation)
    values[index + 8] = mean.addingProduct(radius * sine, deviation)
  }
}

/// The natural logarithm of a positive normal number by the Cephes polynomial, with the fused
/// operations of PyTorch's vectorised build.
private func logarithm(_ argument: Float) -> Float {
  var exponent = Float(Int(argument.exponent) + 1)
  var x = argument.significand * 0.5
  if x < 0.707106781186547524 {
    exponent -= 1
    x = x - 1 + x
  } else {
    x -= 1
  }
  let z = x * x
  var y: Float = 7.0376836292e-2
  y = Float(-1.1514610310e-1).addingProduct(y, x)
  y = Float(1.1676998740e-1).addingProduct(y, x)
  y = Float(-1.2420140846e-1).addingProduct(y, x)
  y = Float(1.4249322787e-1).addingProduct(y, x)
  y = Float(-1.6668057665e-1).addingProduct(y, x)
  y = Float(2.0000714765e-1).addingProduct(y, x)
  y = Float(-2.4999993993e-1).addingProduct(y, x)
  y = Float(3.3333331174e-1).addingProduct(y, x)
  y = (exponent * -2.12194440e-4).addingProduct(y * x, z)
  y = y.addingProduct(z, -0.5)
  return (x + y).addingProduct(exponent, 0.693359375)
}

/// Sine and cosine of a non-negative number by the Cephes polynomials on |x| ≤ π/4, with the fused
/// operations of PyTorch's vectorised build.
private func sineAndCosine(_ argument: Float) -> (sine: Float, cosine: Float) {
  let octant = (Int(argument * 1.27323954473516) + 1) & ~1
  let y = Float(octant)
  var x = argument
  x = x.addingProduct(y, -0.78515625)
  x = x.addingProduct(y, -2.4187564849853515625e-4)
  x = x.addingProduct(y, -3.77489497744594108e-8)
  let z = x * x
  var even: Float = 2.443315711809948e-5
  even = Float(-1.388731625493765e-3).addingProduct(even, z)
  even = Float(4.166664568298827e-2).addingProduct(even, z)
  even *= z
  even = (z * -0.5).addingProduct(even, z) + 1
  var odd: Float = -1.9515295891e-4
  odd = Float(8.3321608736e-3).addingProduct(odd, z)
  odd = Float(-1.6666654611e-1).addingProduct(odd, z)
  odd *= z
  odd = x.addingProduct(odd, x)
  let swapped = octant & 2 != 0
  let sine = swapped ? even : odd
  let cosine = swapped ? odd : even
  return (octant & 4 == 0 ? sine : -sine, (octant - 2) & 4 != 0 ? cosine : -cosine)
}
