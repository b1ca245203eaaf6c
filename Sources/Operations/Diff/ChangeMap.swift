import Adapters

/// Relative changes by layer and kind of module: ‖A − B‖ / ‖A‖ over the tensors of each cell.
public struct ChangeMap: Sendable, Equatable {
  /// What stands before the layers' numbers: `model.layers`.
  public let prefix: String
  /// Modules within a layer, in natural order; experts of one kind are one.
  public let kinds: [String]
  /// Ascending.
  public let layers: [Int]
  /// Kind by kind, layer by layer; nil where there is no such tensor, or A is zero and B is not.
  public let cells: [[Double?]]

  /// A tensor, or a module of an adapter, with the squares that its cell adds up.
  struct Item {
    let name: String
    let differenceSquared: Double
    let referenceSquared: Double
  }

  /// The maps of `items`, one for each stack of layers, in natural order of the prefixes. What is in no
  /// layer is left out.
  static func maps(of items: [Item]) -> [ChangeMap] {
    var sums: [Place: (difference: Double, reference: Double)] = [:]
    for item in items {
      guard let place = Place(item.name) else { continue }
      var sum = sums[place] ?? (0, 0)
      sum.difference += item.differenceSquared
      sum.reference += item.referenceSquared
      sums[place] = sum
    }
    return Set(sums.keys.map(\.prefix)).sorted(by: NaturalOrder.precedes).map { prefix in
      let own = sums.keys.filter { $0.prefix == prefix }
      let kinds = Set(own.map(\.kind)).sorted(by: NaturalOrder.precedes)
      let layers = Set(own.map(\.layer)).sorted()
      let cells = kinds.map { kind in
        layers.map { layer -> Double? in
          guard let sum = sums[Place(prefix: prefix, layer: layer, kind: kind)] else { return nil }
          if sum.difference == 0 { return 0 }
          return sum.reference > 0 ? (sum.difference / sum.reference).squareRoot() : nil
        }
      }
      return ChangeMap(prefix: prefix, kinds: kinds, layers: layers, cells: cells)
    }
  }

  /// Where a tensor is in a model.
  private struct Place: Hashable {
    var prefix: String
    var layer: Int
    var kind: String

    init(prefix: String, layer: Int, kind: String) {
      (self.prefix, self.layer, self.kind) = (prefix, layer, kind)
    }

    private static let containers: Set<String> = [
      "layers", "layer", "h", "block", "blocks", "stages", "resblocks",
    ]

    /// nil for what is in no layer.
    init?(_ name: String) {
      var segments = name.split(separator: ".").map(String.init)
      if segments.last == "weight" { segments.removeLast() }
      let at = segments.indices.dropFirst().first {
        Self.containers.contains(segments[$0 - 1]) && Int(segments[$0]) != nil
      }
      guard let at, let layer = Int(segments[at]), at + 1 < segments.count else { return nil }
      var kind = Array(segments[(at + 1)...])
      for index in kind.indices.dropFirst()
      where kind[index - 1] == "experts" && Int(kind[index]) != nil {
        kind[index] = "*"
      }
      self.init(
        prefix: segments[..<at].joined(separator: "."), layer: layer,
        kind: kind.joined(separator: "."))
    }
  }
}

extension DiffReport {
  /// Relative changes by layer, of tensors or of an adapter's modules.
  public var maps: [ChangeMap] {
    if let modules = adapters?.modules, !modules.isEmpty {
      return ChangeMap.maps(
        of: modules.compactMap { module in
          guard let change = module.a, let relative = module.relativeNorm else { return nil }
          let squared = change.norm * change.norm
          return ChangeMap.Item(
            name: module.module, differenceSquared: relative * relative * squared,
            referenceSquared: squared)
        })
    }
    return ChangeMap.maps(
      of: tensors.numbers.map { name, numbers in
        ChangeMap.Item(
          name: name, differenceSquared: numbers.differenceNorm * numbers.differenceNorm,
          referenceSquared: numbers.normA * numbers.normA)
      })
  }

  /// Of the changed tensors, or of an adapter's modules.
  public var histogram: ChangeHistogram {
    if let modules = adapters?.modules, !modules.isEmpty {
      return ChangeHistogram(modules.compactMap(\.relativeNorm))
    }
    return ChangeHistogram(tensors.changed.compactMap { $0.numbers?.relativeNorm })
  }
}
