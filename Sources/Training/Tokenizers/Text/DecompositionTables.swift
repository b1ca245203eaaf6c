import Foundation

/// The decompositions of single scalars and the pairs that compose, at Unicode 9.
///
/// Read once from Foundation, scalar by scalar. Foundation's normalization of whole strings does not
/// serve: it does not compose U+1112 U+1161 where they come from compatibility letters, and leaves
/// U+0F71 U+0F72 U+0F80 out of order.
enum DecompositionTables {
  /// Where decompositions are, Hangul syllables aside. Nothing outside decomposes in Unicode 9.
  static let ranges: [ClosedRange<UInt32>] = [
    0xA0...0x33FF, 0xA640...0xABFF, 0xF900...0xFFFF, 0x1_1000...0x1_15FF, 0x1_D100...0x1_D7FF,
    0x1_EE00...0x1_F2FF, 0x2_F800...0x2_FA1F,
  ]

  static func decomposition(
    of scalar: Unicode.Scalar, isCompatible: Bool
  ) -> [Unicode.Scalar]? {
    isCompatible ? tables.compatible[scalar] : tables.canonical[scalar]
  }

  static func composite(_ first: Unicode.Scalar, _ second: Unicode.Scalar) -> Unicode.Scalar? {
    tables.composites[Pair(first: first, second: second)]
  }

  private struct Pair: Hashable {
    var first: Unicode.Scalar
    var second: Unicode.Scalar
  }

  private struct Tables {
    var canonical: [Unicode.Scalar: [Unicode.Scalar]] = [:]
    var compatible: [Unicode.Scalar: [Unicode.Scalar]] = [:]
    var composites: [Pair: Unicode.Scalar] = [:]
  }

  private static let tables: Tables = {
    var tables = Tables()
    /// The scalars that compose, by their full decomposition.
    var composable: [[Unicode.Scalar]: Unicode.Scalar] = [:]
    for scalar in ranges.joined().lazy.compactMap(Unicode.Scalar.init)
    where scalar.isAssigned(in: 9) {
      let text = String(scalar)
      let compatible = Array(text.decomposedStringWithCompatibilityMapping.unicodeScalars)
      guard compatible != [scalar] else { continue }
      tables.compatible[scalar] = compatible
      let canonical = Array(text.decomposedStringWithCanonicalMapping.unicodeScalars)
      guard canonical != [scalar] else { continue }
      tables.canonical[scalar] = canonical
      // The scalars excluded from composition are not their own NFC.
      if text.precomposedStringWithCanonicalMapping.unicodeScalars.elementsEqual([scalar]) {
        composable[canonical] = scalar
      }
    }
    for (parts, composite) in composable {
      // A composite joins one scalar, itself perhaps composed, with one mark.
      let first = parts.count == 2 ? parts[0] : composable[Array(parts.dropLast())]
      if let first, let second = parts.last {
        tables.composites[Pair(first: first, second: second)] = composite
      }
    }
    return tables
  }()
}
