/// A regular expression over Unicode scalars, with the matches that Oniguruma finds: leftmost,
/// alternatives in their order, backtracking.
struct Pattern: Sendable {
  enum Instruction: Sendable {
    case set(PatternSet)
    /// Repeats one set: the common loop, without a step of the machine for each scalar.
    case run(PatternSet, minimum: Int, maximum: Int, greed: PatternSyntax.Greed)
    /// Tries `first`, and on failure `second`.
    case fork(first: Int, second: Int)
    case jump(Int)
    /// Matches the program that follows, up to its `accept`, and goes on at `next`.
    case look(ahead: Bool, isNegated: Bool, width: Int, next: Int)
    case atomic(next: Int)
    case boundary(PatternSyntax.Boundary)
    case accept
  }

  let program: [Instruction]

  /// The longest program: counted repetitions of groups are written out.
  private static let maximumSize = 10_000

  /// - Throws: `unsupportedPattern`.
  init(_ pattern: String) throws(TokenizerError) {
    let syntax = try PatternParser.parse(pattern)
    guard syntax.size <= Self.maximumSize else {
      throw TokenizerError.unsupportedPattern(
        pattern, offset: 0, construct: "repetition beyond \(Self.maximumSize) instructions")
    }
    self.init(syntax)
  }

  /// The pattern that matches exactly `text`.
  init(literal text: String) {
    self.init(
      .sequence(text.unicodeScalars.map { .set(PatternSet([.range($0.value...$0.value)])) }))
  }

  private init(_ syntax: PatternSyntax) {
    var program: [Instruction] = []
    Self.emit(syntax, into: &program)
    program.append(.accept)
    self.program = program
  }

  private static func emit(_ syntax: PatternSyntax, into program: inout [Instruction]) {
    switch syntax {
    case .set(let set): program.append(.set(set))
    case .boundary(let boundary): program.append(.boundary(boundary))
    case .sequence(let parts):
      for part in parts { emit(part, into: &program) }
    case .alternatives(let branches):
      var jumps: [Int] = []
      for branch in branches.dropLast() {
        let fork = program.count
        program.append(.accept)
        emit(branch, into: &program)
        jumps.append(program.count)
        program.append(.accept)
        program[fork] = .fork(first: fork + 1, second: program.count)
      }
      if let last = branches.last { emit(last, into: &program) }
      for jump in jumps { program[jump] = .jump(program.count) }
    case .look(let body, let ahead, let isNegated):
      emitEnclosed(body, into: &program) { next in
        .look(ahead: ahead, isNegated: isNegated, width: body.fixedWidth ?? 0, next: next)
      }
    case .atomic(let body):
      emitEnclosed(body, into: &program) { .atomic(next: $0) }
    case .repetition(.set(let set), let minimum, let maximum, let greed):
      program.append(
        .run(set, minimum: minimum, maximum: maximum ?? Int.max, greed: greed))
    case .repetition(let body, let minimum, let maximum, .possessive):
      emitEnclosed(
        .repetition(body, minimum: minimum, maximum: maximum, greed: .greedy), into: &program
      ) { .atomic(next: $0) }
    case .repetition(let body, let minimum, let maximum, let greed):
      for _ in 0..<minimum { emit(body, into: &program) }
      if let maximum {
        var forks: [Int] = []
        for _ in minimum..<maximum {
          forks.append(program.count)
          program.append(.accept)
          emit(body, into: &program)
        }
        for fork in forks { program[fork] = choice(fork + 1, program.count, greed) }
      } else {
        let fork = program.count
        program.append(.accept)
        emit(body, into: &program)
        program.append(.jump(fork))
        program[fork] = choice(fork + 1, program.count, greed)
      }
    }
  }

  private static func choice(
    _ body: Int, _ exit: Int, _ greed: PatternSyntax.Greed
  ) -> Instruction {
    greed == .lazy ? .fork(first: exit, second: body) : .fork(first: body, second: exit)
  }

  private static func emitEnclosed(
    _ body: PatternSyntax, into program: inout [Instruction],
    _ instruction: (_ next: Int) -> Instruction
  ) {
    let start = program.count
    program.append(.accept)
    emit(body, into: &program)
    program.append(.accept)
    program[start] = instruction(program.count)
  }
}
