import Testing

@testable import Safetensors

@Suite struct SliceTests {
  private func ranges(
    _ shape: [Int], _ indices: SliceIndex..., dtype: DType = .f32
  ) throws -> [Range<Int>] {
    let slice = try TensorSlice(dtype: dtype, shape: shape, indices)
    let ranges = Array(slice.byteRanges)
    #expect(slice.byteCount == ranges.reduce(0) { $0 + $1.count })
    return ranges
  }

  private func shape(_ shape: [Int], _ indices: SliceIndex...) throws -> [Int] {
    try TensorSlice(dtype: .f32, shape: shape, indices).shape
  }

  @Test func wholeDimensionsAreOneRun() throws {
    #expect(try ranges([1, 2, 3]) == [0..<24])
    #expect(try ranges([1, 2, 3], .all) == [0..<24])
    #expect(try ranges([1, 2, 3], .all, .all) == [0..<24])
    #expect(try ranges([1, 2, 3], .all, .all, .all) == [0..<24])
    #expect(try ranges([], dtype: .f64) == [0..<8])
    #expect(throws: SliceError.tooManyIndices(count: 4, rank: 3)) {
      try ranges([1, 2, 3], .all, .all, .all, .all)
    }
  }

  @Test func parts() throws {
    let first = SliceIndex.range(start: 0, stop: 1)
    #expect(try ranges([1, 2, 3], first) == [0..<24])
    #expect(try ranges([1, 2, 3], .all, first) == [0..<12])
    #expect(try shape([1, 2, 3], .all, first) == [1, 1, 3])
    #expect(try ranges([1, 2, 3], .all, .all, first) == [0..<4, 12..<16])
    #expect(try ranges([1, 2, 3], .all, .range(start: 1, stop: 2), first) == [12..<16])
    #expect(try ranges([2, 3], .all, .range(start: 1, stop: 3)) == [4..<12, 16..<24])
  }

  @Test func selections() throws {
    let tail = SliceIndex.range(start: 1, stop: 3)
    #expect(try ranges([2, 3], .select(1), tail) == [16..<24])
    #expect(try ranges([2, 3], .select(0), tail) == [4..<12])
    #expect(try ranges([2, 3], .range(start: 1, stop: 2), .select(0)) == [12..<16])
    #expect(try shape([2, 3], .select(0), tail) == [2])
    #expect(try shape([2, 3], .range(start: 1, stop: 2), .select(0)) == [1])
    #expect(try shape([2, 3], .select(1), .select(1)) == [])
  }

  @Test func outOfBounds() {
    func fails(_ indices: [SliceIndex], _ error: SliceError, shape: [Int] = [2, 3]) {
      #expect(throws: error) { try TensorSlice(dtype: .f32, shape: shape, indices) }
    }
    let inSecond = SliceError.outOfBounds(index: 3, dimension: 1, size: 3)
    fails([.select(1), .range(start: 1, stop: 4)], inSecond)
    fails([.select(1), .range(start: 3, stop: 2)], inSecond)
    fails([.select(1), .range(start: 3, stop: 3)], inSecond)
    fails([.select(1), .select(1), .select(1)], .tooManyIndices(count: 3, rank: 2))
    fails([.range(start: 1, stop: 0)], .outOfBounds(index: -1, dimension: 0, size: 2))
    fails([.range(start: -1, stop: 1)], .outOfBounds(index: -1, dimension: 0, size: 2))
    let big = [10, 5]
    fails(
      [.range(start: 2, stop: nil), .select(20)],
      .outOfBounds(index: 20, dimension: 1, size: 5), shape: big)
    fails(
      [.range(start: 2, stop: nil), .select(-6)],
      .outOfBounds(index: -6, dimension: 1, size: 5), shape: big)
    fails(
      [.range(start: 0, stop: 20)], .outOfBounds(index: 19, dimension: 0, size: 10), shape: big)
    fails(
      [.all, .range(start: 0, stop: 20)], .outOfBounds(index: 19, dimension: 1, size: 5),
      shape: big)
    fails(
      [.range(start: 10, stop: nil)], .outOfBounds(index: 10, dimension: 0, size: 10), shape: big)
  }

  @Test func shapesOfParts() throws {
    let big = [10, 5]
    let two = SliceIndex.range(start: 0, stop: 2)
    let fromTwo = SliceIndex.range(start: 2, stop: nil)
    #expect(try shape(big, .all) == [10, 5])
    #expect(try shape(big) == [10, 5])
    #expect(try shape(big, two) == [2, 5])
    #expect(try shape(big, .all, two) == [10, 2])
    #expect(try shape(big, .select(0), two) == [2])
    #expect(try shape(big, fromTwo, .select(0)) == [8])
    #expect(try shape(big, fromTwo, .select(-1)) == [8])
    #expect(try ranges(big, fromTwo, .select(-5)) == ranges(big, fromTwo, .select(0)))
    #expect(try shape(big, .range(start: 3, stop: 3)) == [0, 5])
    #expect(try ranges(big, .range(start: 3, stop: 3)) == [])
    #expect(try ranges([2, 0], .all) == [])
    #expect(try shape([2, 0], .select(1)) == [0])
  }

  @Test func lessThanAByte() throws {
    let first = SliceIndex.range(start: 0, stop: 1)
    #expect(try ranges([1, 2, 2], .all, dtype: .f4) == [0..<2])
    #expect(try ranges([1, 2, 2], .all, first, dtype: .f4) == [0..<1])
    #expect(try ranges([1, 2], .all, dtype: .f4) == [0..<1])
    #expect(throws: SliceError.misaligned(dimension: 1)) {
      try ranges([1, 2], .all, first, dtype: .f4)
    }
    // Rows of 12 bits: every second one begins inside of a byte.
    #expect(throws: SliceError.misaligned(dimension: 0)) {
      try ranges([2, 3], .select(1), dtype: .f4)
    }
    #expect(try ranges([4, 3], .range(start: 2, stop: 4), dtype: .f4) == [3..<6])
  }

  /// Against the elements picked one by one.
  @Test func everyRangeOfASmallTensor() throws {
    let shape = [2, 3, 4]
    func choices(_ size: Int) -> [(SliceIndex, [Int])] {
      var choices: [(SliceIndex, [Int])] = [(.all, Array(0..<size))]
      for start in 0..<size {
        choices.append((.select(start), [start]))
        choices.append((.select(start - size), [start]))
        choices += (start...size).map { (.range(start: start, stop: $0), Array(start..<$0)) }
      }
      return choices
    }
    for (a, first) in choices(2) {
      for (b, second) in choices(3) {
        for (c, third) in choices(4) {
          let slice = try TensorSlice(dtype: .u16, shape: shape, [a, b, c])
          let expected = first.flatMap { i in
            second.flatMap { j in third.map { k in (i * 3 + j) * 4 + k } }
          }
          let actual = slice.byteRanges.flatMap {
            stride(from: $0.lowerBound / 2, to: $0.upperBound / 2, by: 1)
          }
          #expect(actual == expected, "\(a) \(b) \(c)")
          #expect(slice.shape.reduce(1, *) == expected.count, "\(a) \(b) \(c)")
        }
      }
    }
  }
}
