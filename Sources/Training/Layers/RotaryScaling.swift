import Foundation
import Kernels

/// How rotary frequencies are stretched for longer contexts, as Hugging Face's configurations say it.
public enum RotaryScaling: Equatable, Sendable {
  /// Su et al. 2021.
  case none
  /// Positions divided by `factor`.
  case linear(factor: Double)
  /// The base grows with the length beyond `maximum` (NTK-aware scaling).
  case dynamic(factor: Double, maximum: Int)
  /// Peng et al. 2023, section 3.
  case yarn(Yarn)
  /// Llama 3.1: long wavelengths are divided by `factor`, short ones stay, with a ramp between.
  case llama3(factor: Double, lowFrequency: Double, highFrequency: Double, original: Int)
  /// Ding et al. 2024: a factor for each frequency, other ones beyond the original length.
  case longRope(short: [Double], long: [Double], original: Int, attention: Double)

  public struct Yarn: Equatable, Sendable {
    public var factor: Double
    public var fast: Double
    public var slow: Double
    public var original: Int
    public var truncates: Bool
    public var attention: Double
  }

  /// Cosines and sines are multiplied with this.
  public var attention: Double {
    switch self {
    case .yarn(let yarn): yarn.attention
    case .longRope(_, _, _, let attention): attention
    default: 1
    }
  }

  /// Whether the frequencies depend on the length of the sequence.
  var dependsOnLength: Bool {
    switch self {
    case .dynamic, .longRope: true
    default: false
    }
  }

  /// Radians per position of each of the `dim`/2 pairs, rounded to f32 where transformers does.
  public func frequencies(dim: Int, theta: Double, length: Int) -> [Float] {
    /// θ^(2j/dim) in f32.
    func wavelengths(_ theta: Double) -> [Float] {
      (0..<dim / 2).map {
        Float(ReproducibleMath.power(theta, Double(Float(2 * $0) / Float(dim))))
      }
    }
    switch self {
    case .none: return wavelengths(theta).map { 1 / $0 }
    case .linear(let factor): return wavelengths(theta).map { 1 / $0 / Float(factor) }
    case .dynamic(let factor, let maximum):
      let length = Double(max(length, maximum))
      let stretch = factor * length / Double(maximum) - (factor - 1)
      let exponent = Double(dim) / Double(dim - 2)
      return wavelengths(theta * ReproducibleMath.power(stretch, exponent)).map { 1 / $0 }
    case .yarn(let yarn): return yarn.frequencies(wavelengths(theta), dim: dim, theta: theta)
    case .llama3(let factor, let low, let high, let original):
      return wavelengths(theta).map {
        Self.llama3(1 / $0, Float(factor), Float(low), Float(high), Float(original))
      }
    case .longRope(let short, let long, let original, _):
      return zip(length > original ? long : short, wavelengths(theta)).map {
        1 / (Float($0) * $1)
      }
    }
  }

  private static func llama3(
    _ frequency: Float, _ factor: Float, _ low: Float, _ high: Float, _ original: Float
  ) -> Float {
    let wavelength = 2 * Float.pi / frequency
    if wavelength > original / low { return frequency / factor }
    if wavelength < original / high { return frequency }
    let smooth = (original / wavelength - low) / (high - low)
    return (1 - smooth) * frequency / factor + smooth * frequency
  }
}

extension RotaryScaling.Yarn {
  /// Interpolated frequencies for pairs that turn slowly, the plain ones for those that turn fast.
  fileprivate func frequencies(_ wavelengths: [Float], dim: Int, theta: Double) -> [Float] {
    /// The pair that turns `rotations` times within the original length.
    func pair(_ rotations: Double) -> Double {
      Double(dim) * ReproducibleMath.logarithm(Double(original) / (rotations * 2 * .pi))
        / (2 * ReproducibleMath.logarithm(theta))
    }
    var (low, high) = (pair(fast), pair(slow))
    if truncates { (low, high) = (low.rounded(.down), high.rounded(.up)) }
    (low, high) = (max(low, 0), min(high, Double(dim - 1)))
    if low == high { high += 0.001 }
    return wavelengths.enumerated().map { index, wavelength in
      let ramp = min(max((Float(index) - Float(low)) / Float(high - low), 0), 1)
      return 1 / (Float(factor) * wavelength) * ramp + 1 / wavelength * (1 - ramp)
    }
  }

  /// `0.1·mscale·ln(factor) + 1`: what makes up for the flatter softmax.
  static func attention(factor: Double, scale: Double = 1) -> Double {
    factor <= 1 ? 1 : 0.1 * scale * ReproducibleMath.logarithm(factor) + 1
  }
}
