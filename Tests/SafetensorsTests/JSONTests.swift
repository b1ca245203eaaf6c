import Testing

@testable import Safetensors

@Suite struct JSONTests {
  private func failure(_ text: String, allowsNonFinite: Bool = false) -> JSONError? {
    do throws(JSONError) {
      _ = try JSONValue.parse(text, allowsNonFinite: allowsNonFinite)
      return nil
    } catch { return error }
  }

  // MARK: - Reading

  @Test func readsEveryKind() throws {
    let value = try JSONValue.parse(
      #" { "n" : null , "t":true,"f":false, "i":-12, "d":1.5e-3, "s":"x", "a":[ ], "o":{ } } "#)
    #expect(
      value == [
        "n": nil, "t": true, "f": false, "i": -12, "d": .number(JSONNumber(lexeme: "1.5e-3")),
        "s": "x", "a": [], "o": [:],
      ])
    #expect(value["i"]?.int == -12)
    #expect(value["d"]?.double == 0.0015)
    #expect(value["n"]?.isNull == true)
    #expect(value["x"] == nil)
  }

  @Test(arguments: [
    ("", JSONError.Reason.unexpectedEnd, 0), (" ", .unexpectedEnd, 1), ("{", .unexpectedEnd, 1),
    ("[1", .unexpectedEnd, 2), ("\"a", .unexpectedEnd, 2), ("tru", .unexpectedEnd, 3),
    ("nul1", .expectedValue, 3), ("x", .expectedValue, 0), ("[,1]", .expectedValue, 1),
    ("[1,]", .trailingComma, 3), ("{\"a\":1,}", .trailingComma, 7),
    ("[1 2]", .expected(", or ]"), 3),
    ("{\"a\" 1}", .expected(":"), 5), ("{a:1}", .expectedKey, 1), ("{1:1}", .expectedKey, 1),
    ("{}x", .trailingBytes, 2), ("{}{}", .trailingBytes, 2), ("\u{FEFF}{}", .expectedValue, 0),
    ("//\n1", .expectedValue, 0), ("'a'", .expectedValue, 0), ("\u{0B}1", .expectedValue, 0),
    ("01", .invalidNumber, 1), ("-01", .invalidNumber, 2), ("-", .invalidNumber, 1),
    ("1.", .invalidNumber, 2), (".5", .expectedValue, 0), ("+1", .expectedValue, 0),
    ("1e", .invalidNumber, 2), ("1e+", .invalidNumber, 3), ("0x1", .trailingBytes, 1),
    ("1e400", .numberOutOfRange, 0), ("NaN", .expectedValue, 0), ("-Infinity", .invalidNumber, 1),
    ("\"\\x\"", .invalidEscape, 2), ("\"\\u12g4\"", .invalidEscape, 5),
    ("\"\\ud83d\"", .loneSurrogate, 1), ("\"\\ud83dx\"", .loneSurrogate, 1),
    ("\"\\ud83d\\u0041\"", .loneSurrogate, 1), ("\"\\ude00\"", .loneSurrogate, 1),
    ("\"a\u{1F}\"", .controlCharacter, 2), ("\"\\n\n\"", .controlCharacter, 3),
  ])
  func refuses(text: String, reason: JSONError.Reason, offset: Int) {
    #expect(failure(text) == JSONError(reason, at: offset))
  }

  @Test func refusesWhatIsNotUTF8() {
    // Overlong, surrogate, above U+10FFFF, lone continuation, cut short.
    for bad: [UInt8] in [
      [0xC0, 0x80], [0xE0, 0x80, 0x80], [0xED, 0xA0, 0x80], [0xF4, 0x90, 0x80, 0x80], [0x80],
      [0xE2, 0x82], [0xF0, 0x9F, 0x98], [0xFF], [0xC3, 0x28], [0xF0, 0x9F, 0x28, 0x80],
    ] {
      #expect(throws: JSONError(.invalidUTF8, at: 2)) {
        try JSONValue.parse([0x22, 0x61] + bad + [0x22])
      }
    }
  }

  /// Every scalar's encoding is valid, and with any byte replaced it is so only where Swift agrees.
  @Test func utf8ValidationAgreesWithSwift() {
    var random = SeededGenerator(seed: 3)
    for value in stride(from: 0 as UInt32, through: 0x10FFFF, by: 97) {
      guard let scalar = Unicode.Scalar(value) else { continue }
      var bytes = Array(String(scalar).utf8) + [0x41]
      #expect(firstInvalidUTF8(in: bytes) == nil)
      bytes[Int.random(in: 0..<bytes.count, using: &random)] = .random(in: 0...255, using: &random)
      #expect(
        (firstInvalidUTF8(in: bytes) == nil) == (String(validating: bytes, as: UTF8.self) != nil),
        "\(bytes)")
    }
  }

  @Test func nestingEndsAt127() throws {
    func nested(_ depth: Int) -> String {
      String(repeating: "[", count: depth) + String(repeating: "]", count: depth)
    }
    _ = try JSONValue.parse(nested(127))
    #expect(failure(nested(128)) == JSONError(.tooDeep, at: 127))
    #expect(failure(String(repeating: "[", count: 100_000)) == JSONError(.tooDeep, at: 127))
    // Closed brackets do not count.
    _ = try JSONValue.parse(
      "[" + [String](repeating: "[]", count: 300).joined(separator: ",") + "]")
  }

  @Test func stringsAreUnescaped() throws {
    let text = #""\"\\\/\b\f\n\r\t\u0000\u00e9\uD83D\uDE00é😀"# + "\u{7F}\u{2028}\""
    #expect(
      try JSONValue.parse(text).string
        == "\"\\/\u{08}\u{0C}\n\r\t\u{00}é😀é😀\u{7F}\u{2028}")
  }

  @Test func pythonsNumbersAreAnOption() throws {
    let value = try JSONValue.parse("[NaN, Infinity, -Infinity]", allowsNonFinite: true)
    #expect(value.array?[0].double?.isNaN == true)
    #expect(value.array?[1].double == .infinity)
    #expect(value.array?[2].double == -.infinity)
    #expect(value.array?.allSatisfy { $0.int == nil } == true)
    #expect(value.serialized(style: .pythonLine) == "[NaN, Infinity, -Infinity]")
    #expect(failure("Nan", allowsNonFinite: true)?.reason == .invalidNumber)
  }

  // MARK: - Numbers

  @Test func integersAreToldByTheirText() throws {
    func number(_ text: String) throws -> JSONNumber? { try JSONValue.parse(text).number }
    #expect(try number("6")?.int == 6)
    #expect(try number("6.0")?.int == nil)
    #expect(try number("6e0")?.int == nil)
    #expect(try number("-0")?.int == 0)
    #expect(try number("9223372036854775807")?.int == .max)
    #expect(try number("9223372036854775808")?.int == nil)
    #expect(try number("9223372036854775808")?.isInteger == true)
    #expect(try number("18446744073709551616")?.double == 0x1p64)
  }

  /// Expected: Python's `repr`.
  @Test(arguments: [
    (0.0, "0.0"), (-0.0, "-0.0"), (1, "1.0"), (-1.5, "-1.5"), (100, "100.0"), (0.1, "0.1"),
    (1e-06, "1e-06"), (1e-05, "1e-05"), (0.0001, "0.0001"), (0.00012345, "0.00012345"),
    (1.5e-7, "1.5e-07"), (1e15, "1000000000000000.0"),
    (9_999_999_999_999_998, "9999999999999998.0"),
    (1e16, "1e+16"), (123_456_789_012_345_680, "1.2345678901234568e+17"), (1.5e300, "1.5e+300"),
    (.leastNonzeroMagnitude, "5e-324"), (1.797_693_134_862_315_7e308, "1.7976931348623157e+308"),
    (123_456.789, "123456.789"), (.nan, "NaN"), (.infinity, "Infinity"), (-.infinity, "-Infinity"),
  ])
  func doublesAreWrittenAsPythonDoes(value: Double, text: String) {
    #expect(JSONNumber(value).lexeme == text)
  }

  @Test func doublesReadBack() throws {
    var random = SeededGenerator(seed: 7)
    for _ in 0..<5000 {
      let value = Double(bitPattern: random.next())
      guard value.isFinite else { continue }
      let read = try JSONValue.parse(JSONNumber(value).lexeme).double
      #expect(read?.bitPattern == value.bitPattern, "\(String(value.bitPattern, radix: 16))")
    }
  }

  // MARK: - Writing

  private let sample: JSONValue = [
    "b": [], "a": [:], "c": [1, [2.5, nil, true]], "é\u{7F}\u{2028}😀": "/\"\\\u{8}\u{C}\n\r\t\u{1}",
  ]

  /// Expected: `json.dumps(sample, indent=2)`.
  @Test func indentsAsPythonDoes() {
    #expect(
      sample.serialized(style: .python(indent: 2)) == #"""
        {
          "b": [],
          "a": {},
          "c": [
            1,
            [
              2.5,
              null,
              true
            ]
          ],
          "\u00e9\u007f\u2028\ud83d\ude00": "/\"\\\b\f\n\r\t\u0001"
        }
        """#)
  }

  @Test func writesOneLine() {
    let value: JSONValue = ["b": [1, 2], "a": "\u{E9}\u{7F}\u{1F}", "A": [:]]
    #expect(value.serialized() == #"{"b":[1,2],"a":"\u00e9\u007f\u001f","A":{}}"#)
    #expect(
      value.serialized(style: .pythonLine, asciiOnly: false)
        == "{\"b\": [1, 2], \"a\": \"é\u{7F}\\u001f\", \"A\": {}}")
    #expect(
      value.serialized(style: .pythonLine, sortKeys: true)
        == #"{"A": {}, "a": "\u00e9\u007f\u001f", "b": [1, 2]}"#)
  }

  @Test func numbersKeepTheirTextThroughAnEdit() throws {
    let text = """
      {
        "llm_int8_threshold": 6.0,
        "rms_norm_eps": 1E-06,
        "hidden_size": 128,
        "dtype": "float32"
      }
      """
    var config = try JSONValue.parse(text)
    config["dtype"] = "bfloat16"
    #expect(
      config.serialized(style: .python(indent: 2))
        == text.replacing("float32", with: "bfloat16"))
  }

  // MARK: - Objects

  @Test func assignmentKeepsThePlace() {
    var object: JSONObject = ["a": 1, "b": 2, "c": 3]
    object["b"] = 20
    object["d"] = 4
    object["a"] = nil
    object["x"] = nil
    #expect(object.keys == ["b", "c", "d"])
    #expect(object["b"] == 20 && object["d"] == 4 && object["a"] == nil)
    object["c"] = .null
    #expect(object["c"] == .null)
    #expect(object.count == 3)
  }

  @Test func duplicatesAreKeptAndTheLastCounts() throws {
    var object = try #require(try JSONValue.parse(#"{"a":1,"b":2,"\u0061":3,"a":4,"e":5}"#).object)
    #expect(object.keys == ["a", "b", "a", "a", "e"])
    #expect(object.duplicateKeys == ["a"])
    #expect(object["a"] == 4)
    object["a"] = nil
    #expect(object.keys == ["b", "e"])
    #expect(object["e"] == 5)
    #expect(object.duplicateKeys == [])
  }

  @Test func keysCompareByBytes() throws {
    let object = try #require(try JSONValue.parse("{\"e\u{301}\":1,\"\u{E9}\":2}").object)
    #expect(object.duplicateKeys == [])
    #expect(object["e\u{301}"] == 1)
    #expect(object["\u{E9}"] == 2)
  }
}
