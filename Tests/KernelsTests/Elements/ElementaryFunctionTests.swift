import Testing

@testable import Kernels

/// True values to 53 bits, computed with 40 decimal digits.
@Suite struct ElementaryFunctionTests {
  private func expectClose(
    _ found: Double, _ expected: Double, _ argument: Double, absolute: Bool = false
  ) {
    let bound = 1e-15 * (absolute ? max(1, abs(expected)) : abs(expected))
    #expect(
      abs(found - expected) <= max(bound, 0x1p-1073),
      "f(\(argument)) = \(found), expected \(expected), error \(found - expected)")
  }

  @Test(
    arguments: [
      (0, 0x1.0000000000000p+0), (1e-09, 0x1.000000044b830p+0), (0.3, 0x1.599058c8c1a96p+0),
      (-0.7, 0x1.fc80db9dd5542p-2), (1.0, 0x1.5bf0a8b145769p+1), (-20.5, 0x1.57a3afeed00abp-30),
      (88.7, 0x1.f4705bbffae5cp+127), (700.0, 0x1.d945df4f8ec8ep+1009),
      (-740.0, 0x0.0000000000055p-1022), (0.34657359, 0x1.6a09e66640654p+0),
    ] as [(Double, Double)])
  func exponential(argument: Double, expected: Double) {
    expectClose(ElementaryFunctions.exponential(argument), expected, argument)
  }

  @Test func exponentialAtTheEnds() {
    #expect(ElementaryFunctions.exponential(710) == .infinity)
    #expect(ElementaryFunctions.exponential(-746) == 0)
    #expect(ElementaryFunctions.exponential(.infinity) == .infinity)
    #expect(ElementaryFunctions.exponential(-.infinity) == 0)
    #expect(ElementaryFunctions.exponential(.nan).isNaN)
  }

  @Test(
    arguments: [
      (0, 0, 1), (1e-08, 0x1.5798ee2308c3ap-27, 1),
      (0.5, 0x1.eaee8744b05f0p-2, 0x1.c1528065b7d50p-1),
      (-1.0, -0x1.aed548f090ceep-1, 0x1.14a280fb5068cp-1),
      (0.785398, 0x1.6a09e28779cb0p-1, 0x1.6a09ea486da3fp-1),
      (2.5, 0x1.326af0dcfcab1p-1, -0x1.9a2f7ef858b7dp-1),
      (-3.1415926, -0x1.cc553391a625fp-25, -0x1.ffffffffffff3p-1),
      (10.0, -0x1.1689ef5f34f52p-1, -0x1.ad9ac890c6b1fp-1),
      (1000.25, 0x1.e1702343c0531p-1, 0x1.5c7d948a31cf2p-2),
      (-54321.125, -0x1.394879e8ac0a7p-3, -0x1.f9f962e33b39dp-1),
      (1048575.5, -0x1.4cb305757fa66p-3, 0x1.f932ec65b1d71p-1),
    ] as [(Double, Double, Double)])
  func sineAndCosine(argument: Double, sine: Double, cosine: Double) {
    let found = ElementaryFunctions.sineAndCosine(argument)
    expectClose(found.sine, sine, argument, absolute: true)
    expectClose(found.cosine, cosine, argument, absolute: true)
  }

  @Test(
    arguments: [
      (0, 5, 0, 1), (1, 8, 0x1.6a09e667f3bcdp-1, 0x1.6a09e667f3bcdp-1),
      (1, 3, 0x1.bb67ae8584caap-1, -0x1.0000000000000p-1),
      (5, 7, -0x1.f329c0558e969p-1, -0x1.c7b90e3024582p-3),
      (123_456, 654_321, 0x1.da76af7453fadp-1, 0x1.80dacb545da2bp-2),
      (999_999, 1_000_000, -0x1.a5a84d37fb5d6p-18, 0x1.ffffffffd497dp-1),
    ] as [(Int, Int, Double, Double)])
  func turns(numerator: Int, denominator: Int, sine: Double, cosine: Double) {
    let found = ElementaryFunctions.sineAndCosine(turns: numerator, of: denominator)
    expectClose(found.sine, sine, Double(numerator), absolute: true)
    expectClose(found.cosine, cosine, Double(numerator), absolute: true)
  }

  @Test func wholeQuartersAreExact() {
    for quarters in 0..<4 {
      let found = ElementaryFunctions.sineAndCosine(turns: quarters * 25, of: 100)
      #expect([found.sine, found.cosine] == [[0, 1], [1, 0], [0, -1], [-1, 0]][quarters])
    }
  }

  @Test(
    arguments: [
      (0, 0), (1e-07, 0x1.ad7f29abcaf2fp-24), (0.019, 0x1.3742301426c7dp-6),
      (0.021, 0x1.5803703f61e74p-6), (-0.5, -0x1.d9353d7568af3p-2), (1.0, 0x1.85efab514f394p-1),
      (8.0, 0x1.fffff872a91f8p-1), (-19.0, -0x1.fffffffffffffp-1), (400, 1), (-400, -1),
    ] as [(Double, Double)])
  func hyperbolicTangent(argument: Double, expected: Double) {
    let found = ElementaryFunctions.hyperbolicTangent(argument)
    // Next to the bound of the polynomial, 1 − 2/(e²ˣ + 1) has lost six bits.
    #expect(abs(found - expected) <= 2e-14 * abs(expected), "tanh(\(argument)) = \(found)")
  }

  @Test(
    arguments: [
      (0, 0), (1e-07, 0x1.e4a299fa57a3cp-24), (0.1, 0x1.cca5ea24fb334p-4),
      (-0.5, -0x1.0a7ef5c18edd2p-1), (1.0, 0x1.af767a741088bp-1), (2.0, 0x1.fd9ae142795e3p-1),
      (-3.0, -0x1.fffd1ac4135f9p-1), (4.5, 0x1.fffffffe4fa30p-1), (7, 1), (-Double.infinity, -1),
    ] as [(Double, Double)])
  func error(argument: Double, expected: Double) {
    expectClose(ElementaryFunctions.error(argument), expected, argument)
  }
}
