import CKernels
import Testing

/// Tests that force the kernels onto one path after the other. The path is global: they all live in
/// this suite, one at a time.
@Suite(.serialized) enum KernelPaths {
  static let names: [(path: ck_path, name: String)] = [
    (CK_PATH_PORTABLE, "portable"), (CK_PATH_AVX2, "AVX2"), (CK_PATH_AVX512, "AVX-512"),
    (CK_PATH_NEON, "NEON"),
  ]

  /// Calls `body` on each path that this processor has, and restores the one that was chosen.
  static func each(_ body: (_ name: String) throws -> Void) rethrows {
    let chosen = ck_get_path()
    defer { _ = ck_set_path(chosen) }
    for (path, name) in names where ck_set_path(path) == 0 {
      try body(name)
    }
  }
}

/// Steele, Lea and Flood's SplitMix64: the same numbers in every run.
struct SplitMix64: RandomNumberGenerator {
  var state: UInt64

  init(seed: UInt64) { state = seed }

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }

  /// Uniform in [-bound, bound).
  mutating func float(_ bound: Float) -> Float { Float.random(in: -bound..<bound, using: &self) }

  mutating func floats(_ count: Int, _ bound: Float) -> [Float] {
    (0..<count).map { _ in float(bound) }
  }
}

extension Float {
  /// The bits, for a failure to print.
  var hex: String { "0x" + String(bitPattern, radix: 16) }
}
