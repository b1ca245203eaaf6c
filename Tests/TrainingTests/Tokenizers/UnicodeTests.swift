import Foundation
import Safetensors
import Testing

@testable import Training

/// Classes and mappings of the scalars that Unicode 14 assigns, as the `tokenizers` library has them:
/// without private use, and of ideographs and syllables, which are many and alike, one in 16.
@Suite struct UnicodeTests {
  static let scalars: [Unicode.Scalar] = (0...0x10FFFF).compactMap { value in
    switch value {
    case 0x3400..<0xA000, 0xAC00..<0xD7A0, 0x17000..<0x1B000, 0x20000...:
      if value % 16 != 0 { return nil }
    default: break
    }
    guard let scalar = Unicode.Scalar(UInt32(value)), scalar.isAssigned(in: 14) else { return nil }
    let category = scalar.properties.generalCategory
    return category == .privateUse || category == .unassigned ? nil : scalar
  }

  private struct Digest {
    var count = 0
    var hash: UInt64 = 0xCBF2_9CE4_8422_2325

    mutating func add(_ scalar: Unicode.Scalar) {
      count += 1
      for shift: UInt32 in [0, 8, 16] {
        hash = (hash ^ UInt64(scalar.value >> shift & 0xFF)) &* 0x100_0000_01B3
      }
    }

    func isEqual(to value: JSONValue?) -> Bool {
      count == value?["count"]?.int
        && hash == value?["hash"]?.string.flatMap { UInt64($0, radix: 16) }
    }
  }

  @Test func classesEqualTheLibrarys() throws {
    let expected = try TokenizerFixtures.json("classes.json")
    let scalars = Self.scalars
    var all = Digest()
    for scalar in scalars { all.add(scalar) }
    #expect(all.isEqual(to: expected["scalars"]))

    for (name, value) in try #require(expected["classes"]?.object).entries.map({
      ($0.key, $0.value)
    }) {
      let contains: (Unicode.Scalar) throws -> Bool
      switch name {
      case "whitespace": contains = { $0.isWhitespace }
      case "word": contains = { $0.isWordCharacter }
      case "numeric": contains = { $0.isNumeric }
      case "punctuation": contains = { $0.isBertPunctuation }
      case "control": contains = { $0.isBertControl }
      case "nonspacing mark": contains = { $0.isNonspacingMark }
      case "combining mark": contains = { $0.isCombiningMark }
      default:
        let syntax = try PatternParser.parse(name)
        guard case .set(let set) = syntax else {
          Issue.record("not a set: \(name)")
          continue
        }
        contains = set.contains
      }
      var digest = Digest()
      for scalar in scalars where try contains(scalar) { digest.add(scalar) }
      #expect(digest.isEqual(to: value), "\(name): \(digest) for \(value)")
    }
  }

  @Test func mappingsEqualTheLibrarys() throws {
    let expected = try TokenizerFixtures.json("classes.json")
    for (name, value) in try #require(expected["mappings"]?.object).entries.map({
      ($0.key, $0.value)
    }) {
      var digest = Digest()
      for scalar in Self.scalars {
        var text = NormalizedText(scalars: [scalar], startsText: true)
        if let form = NormalizationForm(rawValue: name) {
          text.scalars = form.normalize(text.scalars)
        } else {
          LowercaseNormalizer().normalize(&text)
        }
        for scalar in text.scalars { digest.add(scalar) }
      }
      #expect(digest.isEqual(to: value), "\(name): \(digest) for \(value)")
    }
  }

  /// Composition undoes decomposition, and both are idempotent, in whatever order marks stand.
  @Test func normalizationFormsAgree() throws {
    for text in try TokenizerFixtures.corpus() {
      let scalars = Array(text.unicodeScalars)
      let nfd = NormalizationForm.nfd.normalize(scalars)
      let nfc = NormalizationForm.nfc.normalize(scalars)
      let nfkd = NormalizationForm.nfkd.normalize(scalars)
      #expect(NormalizationForm.nfd.normalize(nfc) == nfd)
      #expect(NormalizationForm.nfc.normalize(nfd) == nfc)
      #expect(NormalizationForm.nfd.normalize(nfd) == nfd)
      #expect(NormalizationForm.nfc.normalize(nfc) == nfc)
      #expect(NormalizationForm.nfkd.normalize(nfc) == nfkd)
      #expect(NormalizationForm.nfkc.normalize(nfkd) == NormalizationForm.nfkc.normalize(scalars))
    }
  }

  @Test func wordsOfOtherFormsCompose() {
    let cases: [(NormalizationForm, String, String)] = [
      (.nfc, "\u{1112}\u{1161}\u{11AB}", "한"),
      (.nfkc, "\u{314E}\u{314F}", "하"),
      (.nfc, "e\u{328}\u{301}", "\u{119}\u{301}"),
      (.nfc, "\u{0F71}\u{0F72}\u{0F74}", "\u{0F71}\u{0F72}\u{0F74}"),
      (.nfd, "\u{1EAD}", "a\u{323}\u{302}"),
      (.nfc, "\u{0958}", "\u{0915}\u{093C}"),
      (.nfkc, "ﬃ①Ａ", "ffi1A"),
      (.nfkd, "\u{FDFA}", "صلى الله عليه وسلم"),
    ]
    for (form, text, wanted) in cases {
      let result = String(scalars: form.normalize(Array(text.unicodeScalars)))
      #expect(result.utf8.elementsEqual(wanted.utf8), "\(form) \(text): \(result)")
    }
  }
}
