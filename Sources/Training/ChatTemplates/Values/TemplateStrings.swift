/// Strings as Python sees them: sequences of code points.
extension String {
  /// The first occurrence of `part`, scalar by scalar.
  func firstRange(
    ofScalars part: String, from start: String.Index? = nil
  ) -> Range<String.Index>? {
    let wanted = Array(part.utf8)
    var position = start ?? startIndex
    if wanted.isEmpty { return position..<position }
    while position < endIndex {
      if utf8[position...].starts(with: wanted) {
        return position..<utf8.index(position, offsetBy: wanted.count)
      }
      position = unicodeScalars.index(after: position)
    }
    return nil
  }

  func replacing(scalars part: String, with replacement: String, atMost limit: Int?) -> String {
    var result = ""
    var position = startIndex
    var count = 0
    if part.isEmpty {
      // Python puts the replacement before every scalar and at the end.
      for scalar in unicodeScalars {
        if limit.map({ count < $0 }) ?? true {
          result += replacement
          count += 1
        }
        result.unicodeScalars.append(scalar)
      }
      return limit.map { count < $0 } ?? true ? result + replacement : result
    }
    while limit.map({ count < $0 }) ?? true, let range = firstRange(ofScalars: part, from: position)
    {
      result += self[position..<range.lowerBound] + replacement
      position = range.upperBound
      count += 1
    }
    return result + self[position...]
  }

  /// `split(separator, limit)`.
  func parts(separatedBy separator: String, atMost limit: Int?) -> [String] {
    var parts: [String] = []
    var position = startIndex
    while limit.map({ parts.count < $0 }) ?? true,
      let range = firstRange(ofScalars: separator, from: position)
    {
      parts.append(String(self[position..<range.lowerBound]))
      position = range.upperBound
    }
    return parts + [String(self[position...])]
  }

  /// `split()`: at runs of white space, none at the ends.
  func parts(separatedByWhitespaceAtMost limit: Int?) -> [String] {
    var parts: [String] = []
    var rest = Substring(self).unicodeScalars.drop(while: \.isPythonWhitespace)
    while !rest.isEmpty {
      if let limit, parts.count == limit {
        return parts + [String(rest)]
      }
      let part = rest.prefix { !$0.isPythonWhitespace }
      parts.append(String(part))
      rest = rest[part.endIndex...].drop(while: \.isPythonWhitespace)
    }
    return parts
  }

  /// `strip`, `lstrip`, `rstrip`: off go white space or the scalars of `set`.
  func trimmed(left: Bool, right: Bool, of set: String?) -> String {
    let scalars = set.map { Set($0.unicodeScalars) }
    func isTrimmed(_ scalar: Unicode.Scalar) -> Bool {
      scalars?.contains(scalar) ?? scalar.isPythonWhitespace
    }
    var rest = Substring(self).unicodeScalars
    if left { rest = rest.drop(while: isTrimmed) }
    if right {
      while let last = rest.last, isTrimmed(last) { rest.removeLast() }
    }
    return String(rest)
  }

  /// The first letter upper case, the rest lower case.
  var capitalizedAsPython: String {
    guard let first = unicodeScalars.first else { return self }
    return first.properties.titlecaseMapping
      + String(String.UnicodeScalarView(unicodeScalars.dropFirst())).lowercased()
  }
}

extension Unicode.Scalar {
  /// `str.isspace`: white space, and the separators U+001C to U+001F.
  var isPythonWhitespace: Bool { isWhitespace || (0x1C...0x1F).contains(value) }
}
