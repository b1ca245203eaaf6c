import CKernels

/// A 4-bit code: sixteen values, of which a scaled weight takes the nearest.
public struct FourBitCode: Sendable, Equatable {
  /// Value of each code.
  public let values: [Float]

  /// NormalFloat: the quantiles of a normal distribution, scaled to end at ±1 (Dettmers et al.,
  /// "QLoRA", arXiv:2305.14314, appendix E; f32 entries as bitsandbytes stores them).
  public static let nf4 = FourBitCode(bits: [
    0xBF80_0000, 0xBF32_39B1, 0xBF06_6B30, 0xBECA_32A0, 0xBE91_A24D, 0xBE3D_353F, 0xBDBA_7871, 0,
    0x3DA2_FAFF, 0x3E24_CAE3, 0x3E7C_04DD, 0x3EAD_033A, 0x3EE1_A4B8, 0x3F10_07AB, 0x3F39_13B3,
    0x3F80_0000,
  ])

  /// A 4-bit float, sign first, divided by its largest value 12. Its two zeros are both +0.
  public static let fp4 = FourBitCode(bits: [
    0, 0x3BAA_AAAB, 0x3F2A_AAAB, 0x3F80_0000, 0x3EAA_AAAB, 0x3F00_0000, 0x3E2A_AAAB, 0x3E80_0000,
    0, 0xBBAA_AAAB, 0xBF2A_AAAB, 0xBF80_0000, 0xBEAA_AAAB, 0xBF00_0000, 0xBE2A_AAAB, 0xBE80_0000,
  ])

  private init(bits: [UInt32]) {
    values = bits.map(Float.init(bitPattern:))
  }

  /// The code of a file that carries its own sixteen finite values (`quant_map`).
  public init(values: [Float]) throws(QuantizationError) {
    guard values.count == 16, values.allSatisfy(\.isFinite) else { throw .codeValues(values) }
    self.values = values
  }

  /// Codes in the ascending order of their values, equal ones by code.
  var ascending: [Int] {
    values.indices.sorted { (values[$0], $0) < (values[$1], $1) }
  }

  /// Midpoints between neighbouring values, f32((a + b) / 2).
  var thresholds: [Float] {
    let order = ascending
    return zip(order, order.dropFirst()).map { (values[$0] + values[$1]) / 2 }
  }

  /// The form that the kernels read.
  var kernelCode: ck_four_bit_code {
    var code = ck_four_bit_code()
    withUnsafeMutableBytes(of: &code.values) {
      $0.copyBytes(from: values.withUnsafeBytes(Array.init))
    }
    withUnsafeMutableBytes(of: &code.thresholds) {
      $0.copyBytes(from: thresholds.withUnsafeBytes(Array.init))
    }
    withUnsafeMutableBytes(of: &code.codes) { $0.copyBytes(from: ascending.map(UInt8.init)) }
    return code
  }
}
