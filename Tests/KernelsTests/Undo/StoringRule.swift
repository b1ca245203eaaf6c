@testable import Kernels

/// The rule by which an element is stored, applied to all 65,536 elements of a 16-bit type
/// (spec/numerics.md, section 3).
struct StoringRule {
  let element: ElementType
  private let values: [Float]

  init(_ element: ElementType) {
    self.element = element
    values = element.widened((0..<65536).flatMap { [UInt8($0 & 0xFF), UInt8($0 >> 8)] })
  }

  /// What every element is stored as when it is changed by D and Q.
  func stored(delta: Float, factor: Float?) -> [UInt16] {
    var results = values
    for at in 0..<65536 {
      let sum = delta == 0 ? values[at] : values[at] + delta
      let result = factor.map { sum * $0 } ?? sum
      results[at] = result.isNaN ? .nan : result
    }
    let rounded = element.rounded(results)
    return (0..<65536).map { at in
      values[at].isNaN ? UInt16(at) : UInt16(rounded[2 * at]) | UInt16(rounded[2 * at + 1]) << 8
    }
  }

  /// The NaN that is stored where arithmetic gave one.
  var undefined: UInt16 { element == .f16 ? 0x7E00 : 0x7FC0 }

  /// Bits that it takes to tell the elements apart that became the same, by counting them; nil where
  /// they are not neighbours.
  func bits(_ stored: [UInt16]) -> Int? {
    var first = [Int](repeating: .max, count: 65536)
    var last = [Int](repeating: .min, count: 65536)
    var count = [Int](repeating: 0, count: 65536)
    for bits in 0..<65536 where !values[bits].isNaN {
      let place = bits < 0x8000 ? 0x8000 + bits : 0xFFFF - bits
      let result = Int(stored[bits])
      first[result] = min(first[result], place)
      last[result] = max(last[result], place)
      count[result] += 1
    }
    var total = 16 * stored.reduce(0) { $0 + ($1 == undefined ? 1 : 0) }
    for result in 0..<65536 where count[result] > 0 && result != Int(undefined) {
      guard last[result] - first[result] == count[result] - 1 else { return nil }
      let width = Int.bitWidth - (count[result] - 1).leadingZeroBitCount
      total += width * count[result]
    }
    return total
  }
}
