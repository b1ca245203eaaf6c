import Adapters
import Kernels

/// Adapters that change only some rows or columns (SBoRA) can be merged in any order to the same bits,
/// and taken out one by one, as long as their regions do not meet (Multi-SBoRA, 2407.05413, section 4).
struct RegionOverlap: Sendable, Equatable {
  let tensor: String
  /// Indices of the two adapters in the request.
  let adapters: [Int]
  /// Rows or columns that both change; nil where one changes rows and the other columns, which always
  /// cross.
  let shared: Int?

  private enum Region {
    case rows(Set<Int>)
    case columns(Set<Int>)

    init?(_ update: (any WeightUpdate)?) {
      switch update {
      case let update as SparseRowsUpdate: self = .rows(Set(update.indices))
      case let update as SparseColumnsUpdate: self = .columns(Set(update.indices))
      default: return nil
      }
    }
  }

  /// The overlaps among `bindings`.
  static func all(in bindings: [AdapterBinding]) throws -> [RegionOverlap] {
    var modules: [String: [(adapter: Int, module: BoundModule)]] = [:]
    for (adapter, binding) in bindings.enumerated() {
      for module in binding.modules where module.module.method == SBoRA.self {
        modules[module.weight, default: []].append((adapter, module))
      }
    }
    let loaders = bindings.map(AdapterLoader.init)
    var overlaps: [RegionOverlap] = []
    for (tensor, users) in modules.sorted(by: { $0.key < $1.key }) where users.count > 1 {
      let regions = try users.map { user in
        Region(try loaders[user.adapter].method(of: user.module).weightUpdate())
      }
      for a in users.indices {
        for b in users.indices where b > a {
          let adapters = [users[a].adapter, users[b].adapter]
          switch (regions[a], regions[b]) {
          case (.rows(let x), .rows(let y)), (.columns(let x), .columns(let y)):
            let shared = x.intersection(y).count
            guard shared > 0 else { continue }
            overlaps.append(RegionOverlap(tensor: tensor, adapters: adapters, shared: shared))
          case (.some, .some):
            overlaps.append(RegionOverlap(tensor: tensor, adapters: adapters, shared: nil))
          default: continue
          }
        }
      }
    }
    return overlaps
  }
}
