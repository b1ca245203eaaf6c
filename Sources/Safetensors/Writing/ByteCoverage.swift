/// A set of bytes, as disjoint ranges in ascending order, none touching the next.
struct ByteCoverage {
  private(set) var ranges: [Range<Int>] = []

  /// Adds `range`; false, and nothing added, when one of its bytes is in the set already.
  mutating func insert(_ range: Range<Int>) -> Bool {
    if range.isEmpty { return true }
    // The first range that ends behind the new one's beginning.
    var low = 0
    var high = ranges.count
    while low < high {
      let middle = (low + high) / 2
      if ranges[middle].upperBound <= range.lowerBound { low = middle + 1 } else { high = middle }
    }
    if low < ranges.count, ranges[low].lowerBound < range.upperBound { return false }
    let joinsPrevious = low > 0 && ranges[low - 1].upperBound == range.lowerBound
    let joinsNext = low < ranges.count && ranges[low].lowerBound == range.upperBound
    switch (joinsPrevious, joinsNext) {
    case (true, true):
      ranges[low - 1] = ranges[low - 1].lowerBound..<ranges[low].upperBound
      ranges.remove(at: low)
    case (true, false): ranges[low - 1] = ranges[low - 1].lowerBound..<range.upperBound
    case (false, true): ranges[low] = range.lowerBound..<ranges[low].upperBound
    case (false, false): ranges.insert(range, at: low)
    }
    return true
  }

  /// The first run of bytes of `whole` that is not in the set.
  func firstGap(in whole: Range<Int>) -> Range<Int>? {
    var start = whole.lowerBound
    for range in ranges where range.upperBound > start {
      if range.lowerBound > start { break }
      start = range.upperBound
    }
    guard start < whole.upperBound else { return nil }
    let next = ranges.first { $0.lowerBound > start }?.lowerBound ?? whole.upperBound
    return start..<min(next, whole.upperBound)
  }
}
