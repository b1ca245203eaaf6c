extension Pattern {
  /// The text cut into matches (`isDelimiter`) and what lies between them; spans without matches are
  /// not empty, matches may be.
  func spans(in text: ArraySlice<Unicode.Scalar>) -> [DelimiterSpan] {
    var spans: [DelimiterSpan] = []
    var previous = text.startIndex
    for match in matches(in: text) {
      if previous != match.lowerBound {
        spans.append(DelimiterSpan(range: previous..<match.lowerBound, isDelimiter: false))
      }
      spans.append(DelimiterSpan(range: match, isDelimiter: true))
      previous = match.upperBound
    }
    if previous != text.endIndex {
      spans.append(DelimiterSpan(range: previous..<text.endIndex, isDelimiter: false))
    }
    return spans
  }

  /// The matches from left to right, without overlap. An empty match directly after another match
  /// does not count.
  func matches(in text: ArraySlice<Unicode.Scalar>) -> [Range<Int>] {
    guard !text.isEmpty else { return [] }
    var matcher = PatternMatcher(program: program, text: text)
    var matches: [Range<Int>] = []
    var start = text.startIndex
    while start <= text.endIndex {
      guard let end = matcher.match(from: start) else {
        start += 1
        continue
      }
      if end > start {
        matches.append(start..<end)
        start = end
      } else {
        if matches.last?.upperBound != end { matches.append(start..<end) }
        start += 1
      }
    }
    return matches
  }
}

/// Runs a pattern's program at one position of a text after the other.
private struct PatternMatcher {
  /// What to do when the way taken fails: go on at `instruction` with the text from `position`. A
  /// greedy run gives back one scalar at a time down to `limit`; a lazy one takes one more up to it.
  private struct Choice {
    var instruction: Int
    var position: Int
    var limit: Int
  }

  let program: [Pattern.Instruction]
  let text: ArraySlice<Unicode.Scalar>
  private var choices: [Choice] = []

  init(program: [Pattern.Instruction], text: ArraySlice<Unicode.Scalar>) {
    self.program = program
    self.text = text
  }

  /// The end of the match that starts at `start`.
  mutating func match(from start: Int) -> Int? {
    choices.removeAll(keepingCapacity: true)
    return run(at: 0, from: start)
  }

  /// Runs from an instruction to its `accept`. Choices made on the way are dropped at the end.
  private mutating func run(at first: Int, from start: Int) -> Int? {
    let floor = choices.count
    defer { choices.removeLast(choices.count - floor) }
    var instruction = first
    var position = start
    while true {
      var succeeded = true
      switch program[instruction] {
      case .accept: return position
      case .jump(let target): instruction = target
      case .fork(let first, let second):
        choices.append(Choice(instruction: second, position: position, limit: position))
        instruction = first
      case .set(let set):
        succeeded = position < text.endIndex && set.contains(text[position])
        position += 1
        instruction += 1
      case .run(let set, let minimum, let maximum, let greed):
        let end = runEnd(of: set, from: position, atMost: greed == .lazy ? minimum : maximum)
        succeeded = end - position >= minimum
        if succeeded, greed == .greedy, end > position + minimum {
          choices.append(
            Choice(instruction: instruction + 1, position: end, limit: position + minimum))
        } else if succeeded, greed == .lazy, maximum > minimum {
          let last = maximum == Int.max ? text.endIndex : min(text.endIndex, position + maximum)
          if end < last {
            choices.append(Choice(instruction: instruction, position: end, limit: last))
          }
        }
        position = end
        instruction += 1
      case .look(let ahead, let isNegated, let width, let next):
        let from = ahead ? position : position - width
        let isMatch = from >= text.startIndex && run(at: instruction + 1, from: from) != nil
        succeeded = isMatch != isNegated
        instruction = next
      case .atomic(let next):
        if let end = run(at: instruction + 1, from: position) {
          position = end
        } else {
          succeeded = false
        }
        instruction = next
      case .boundary(let boundary):
        succeeded = holds(boundary, at: position)
        instruction += 1
      }
      if succeeded { continue }
      guard let choice = resume(above: floor) else { return nil }
      (instruction, position) = choice
    }
  }

  /// Takes the latest choice that is still open.
  private mutating func resume(above floor: Int) -> (instruction: Int, position: Int)? {
    while choices.count > floor {
      var choice = choices.removeLast()
      if choice.position > choice.limit {
        // A greedy run gives one scalar back.
        choice.position -= 1
        if choice.position > choice.limit { choices.append(choice) }
        return (choice.instruction, choice.position)
      }
      if choice.position < choice.limit, case .run(let set, _, _, _) = program[choice.instruction] {
        // A lazy run takes one scalar more.
        guard set.contains(text[choice.position]) else { continue }
        choice.position += 1
        if choice.position < choice.limit { choices.append(choice) }
        return (choice.instruction + 1, choice.position)
      }
      return (choice.instruction, choice.position)
    }
    return nil
  }

  private func runEnd(of set: PatternSet, from start: Int, atMost maximum: Int) -> Int {
    let limit = maximum >= text.endIndex - start ? text.endIndex : start + maximum
    var end = start
    while end < limit, set.contains(text[end]) { end += 1 }
    return end
  }

  private func holds(_ boundary: PatternSyntax.Boundary, at position: Int) -> Bool {
    switch boundary {
    case .textStart: position == text.startIndex
    case .textEnd: position == text.endIndex
    case .textEndOrLastNewline:
      position == text.endIndex || (position == text.endIndex - 1 && text[position] == "\n")
    case .lineStart:
      // Not after a newline that ends the text.
      position == text.startIndex || (text[position - 1] == "\n" && position < text.endIndex)
    case .lineEnd: position == text.endIndex || text[position] == "\n"
    case .word: isWord(before: position) != isWord(at: position)
    case .notWord: isWord(before: position) == isWord(at: position)
    }
  }

  private static let word = PatternSet(PatternParser.bareWord)

  private func isWord(at position: Int) -> Bool {
    position < text.endIndex && Self.word.contains(text[position])
  }

  private func isWord(before position: Int) -> Bool {
    position > text.startIndex && Self.word.contains(text[position - 1])
  }
}
