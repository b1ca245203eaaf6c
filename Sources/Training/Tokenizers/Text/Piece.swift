/// A part of the text to encode, between normalization and the model.
struct Piece {
  var scalars: ArraySlice<Unicode.Scalar>
  /// Whether the piece begins where the caller's text begins.
  var startsText: Bool

  /// The part of the piece at `range`, indices of `scalars`.
  subscript(range: Range<Int>) -> Piece {
    Piece(
      scalars: scalars[range], startsText: startsText && range.lowerBound == scalars.startIndex)
  }
}

/// What becomes of the delimiters at which a text is split (`SplitDelimiterBehavior` of the
/// `tokenizers` library).
enum DelimiterBehavior: String {
  case removed = "Removed"
  case isolated = "Isolated"
  case mergedWithPrevious = "MergedWithPrevious"
  case mergedWithNext = "MergedWithNext"
  case contiguous = "Contiguous"
}

/// A stretch of a text that is or is not a delimiter.
struct DelimiterSpan {
  var range: Range<Int>
  var isDelimiter: Bool
}

extension DelimiterBehavior {
  /// Joins and drops spans, which cover a text in order; empty ones are left out.
  func apply(to spans: [DelimiterSpan]) -> [Range<Int>] {
    var parts: [Range<Int>] = []
    var previousIsDelimiter = false
    switch self {
    case .removed:
      for span in spans where !span.isDelimiter { parts.append(span.range) }
    case .isolated:
      for span in spans { parts.append(span.range) }
    case .contiguous:
      for span in spans {
        if span.isDelimiter == previousIsDelimiter, let last = parts.last {
          parts[parts.count - 1] = last.lowerBound..<span.range.upperBound
        } else {
          parts.append(span.range)
        }
        previousIsDelimiter = span.isDelimiter
      }
    case .mergedWithPrevious:
      for span in spans {
        if span.isDelimiter, !previousIsDelimiter, let last = parts.last {
          parts[parts.count - 1] = last.lowerBound..<span.range.upperBound
        } else {
          parts.append(span.range)
        }
        previousIsDelimiter = span.isDelimiter
      }
    case .mergedWithNext:
      for span in spans.reversed() {
        if span.isDelimiter, !previousIsDelimiter, let last = parts.last {
          parts[parts.count - 1] = span.range.lowerBound..<last.upperBound
        } else {
          parts.append(span.range)
        }
        previousIsDelimiter = span.isDelimiter
      }
      parts.reverse()
    }
    return parts.filter { !$0.isEmpty }
  }
}

extension ArraySlice<Unicode.Scalar> {
  /// The spans of `self` where each scalar of which `isDelimiter` holds is a delimiter of its own.
  func spans(where isDelimiter: (Unicode.Scalar) -> Bool) -> [DelimiterSpan] {
    var spans: [DelimiterSpan] = []
    var start = startIndex
    for i in indices where isDelimiter(self[i]) {
      if start < i { spans.append(DelimiterSpan(range: start..<i, isDelimiter: false)) }
      spans.append(DelimiterSpan(range: i..<i + 1, isDelimiter: true))
      start = i + 1
    }
    if start < endIndex {
      spans.append(DelimiterSpan(range: start..<endIndex, isDelimiter: false))
    }
    return spans
  }
}
