import Kernels
import Testing

/// Values from NumPy 2.4.
@Suite struct NumpyGeneratorTests {
  @Test(
    arguments: [
      (0, 0xa30f_ebcf_d9c2_825f, 0x4510_bdf8_82d9_d721),
      (42, 0xc621_fbcd_16d9_2688, 0x705a_5661_a791_ffc1),
      (7, 0xa006_41a9_f1e5_4a8b, 0xe5af_cdbc_af26_6a95),
      ((1 << 40) + 5, 0x0136_9aef_039f_edeb, 0x5f61_b404_7331_4316),
      (123_456_789, 0x0718_2e9c_e6a6_f13c, 0xe81d_7ead_95d3_cecd),
    ] as [(UInt64, UInt64, UInt64)])
  func rawStream(seed: UInt64, first: UInt64, second: UInt64) {
    var generator = NumpyGenerator(seed: seed)
    #expect([generator.next64(), generator.next64()] == [first, second])
  }

  @Test(
    arguments: [
      (0, [4, 6, 2, 7, 3, 5, 9, 0, 8, 1]), (42, [5, 6, 0, 7, 3, 2, 4, 9, 1, 8]),
      (7, [8, 0, 7, 1, 3, 6, 2, 4, 5, 9]), ((1 << 40) + 5, [8, 1, 2, 5, 3, 0, 9, 7, 4, 6]),
      (123_456_789, [7, 4, 0, 5, 3, 8, 2, 1, 6, 9]),
    ] as [(UInt64, [Int])])
  func shuffle(seed: UInt64, expected: [Int]) {
    var generator = NumpyGenerator(seed: seed)
    var values = Array(0..<10)
    generator.shuffle(&values)
    #expect(values == expected)
  }

  /// A choice of few, a choice of many (by another algorithm), and a shuffle, one after the other.
  @Test(
    arguments: [
      (
        0, [2, 7, 5, 4], [1745, 17894, 8413, 19769, 3518, 1545], 10_316_864, [3, 2, 1, 4, 6, 5, 0]
      ),
      (
        42, [3, 0, 7, 5], [16155, 17501, 2437, 16845, 10610, 14001], 10_176_744,
        [3, 4, 1, 0, 5, 2, 6]
      ),
      (
        7, [5, 4, 8, 7], [3024, 15725, 8851, 15736, 5281, 7987], 10_278_831, [2, 0, 1, 4, 3, 6, 5]
      ),
    ] as [(UInt64, [Int], [Int], Int, [Int])])
  func choiceWithoutReplacement(
    seed: UInt64, few: [Int], many: [Int], sum: Int, shuffled: [Int]
  ) {
    var generator = NumpyGenerator(seed: seed)
    #expect(generator.choice(9, count: 4) == few)
    let chosen = generator.choice(20000, count: 1000)
    #expect(Array(chosen.prefix(6)) == many)
    #expect(chosen.reduce(0, +) == sum)
    #expect(Set(chosen).count == 1000)
    var values = Array(0..<7)
    generator.shuffle(&values)
    #expect(values == shuffled)
  }

  @Test func choiceOfFewAmongMany() {
    var generator = NumpyGenerator(seed: 3)
    let chosen = generator.choice(20000, count: 300)
    #expect(Array(chosen.prefix(6)) == [10269, 19873, 12799, 7637, 4666, 13833])
  }

  @Test func integersBeyond32Bits() {
    var generator = NumpyGenerator(seed: 11)
    let drawn = (0..<4).map { _ in generator.integer(through: 1 << 40) }
    #expect(drawn == [141_364_432_930, 548_961_815_244, 661_354_438_295, 31_543_898_294])
    #expect(generator.integer(through: 0) == 0)
  }
}
