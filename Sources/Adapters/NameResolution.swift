/// How an adapter's module paths are found in a base: one scheme of names and one change of prefix
/// that resolve every path.
///
/// Task heads add or drop a leading segment (`model.`, `transformer.`, `bert.`): an adapter trained on
/// the headless model fits the one with a head, and the other way round.
struct NameResolution: Sendable {
  enum Prefix: Sendable, Equatable {
    case same
    case added(String)
    case dropped(String)
  }

  let scheme: NameScheme
  let prefix: Prefix
  /// Base tensor names by their name in memory.
  private let names: [String: String]
  /// Every dotted path that leads to a tensor.
  private let parents: Set<String>

  /// The resolution that finds most of `paths` in `base`, and the paths that it does not find.
  ///
  /// - Parameter isRequired: paths that count; others (new heads) may be missing.
  static func best(
    for paths: [String], in base: BaseModel
  ) -> (resolution: NameResolution, unresolved: [String]) {
    var best: (resolution: NameResolution, unresolved: [String])?
    for scheme in NameScheme.candidates(modelType: base.modelType) {
      var names: [String: String] = [:]
      for tensor in base.tensors { names[scheme.inMemory(tensor.name)] = tensor.name }
      var parents: Set<String> = []
      var roots: Set<String> = []
      for name in names.keys {
        var path = Substring(name)
        parents.insert(name)
        while let dot = path.lastIndex(of: ".") {
          path = path[..<dot]
          parents.insert(String(path))
        }
        roots.insert(String(path))
      }
      var prefixes: [Prefix] = [.same]
      prefixes += roots.sorted().map(Prefix.added)
      let firsts = Set(paths.compactMap { $0.split(separator: ".").first.map(String.init) })
      prefixes += firsts.sorted().map(Prefix.dropped)
      for prefix in prefixes {
        let candidate = NameResolution(
          scheme: scheme, prefix: prefix, names: names, parents: parents)
        let unresolved = paths.filter { !candidate.finds($0) }
        if unresolved.count < best?.unresolved.count ?? Int.max {
          best = (candidate, unresolved)
        }
        if unresolved.isEmpty { return (candidate, []) }
      }
    }
    // There is always a first candidate: the identity with the same prefix.
    return best ?? (NameResolution(scheme: NameScheme.all[0], prefix: .same), paths)
  }

  private init(
    scheme: NameScheme, prefix: Prefix, names: [String: String] = [:], parents: Set<String> = []
  ) {
    self.scheme = scheme
    self.prefix = prefix
    self.names = names
    self.parents = parents
  }

  /// The base tensor that the adapter calls `name`.
  func baseTensor(_ name: String) -> String? {
    candidates(name).lazy.compactMap { names[$0] }.first
  }

  /// Names in memory that `path` may stand for.
  private func candidates(_ path: String) -> [String] {
    switch prefix {
    case .same: return [path]
    case .added(let segment): return [segment + "." + path, path]
    case .dropped(let segment):
      return path.hasPrefix(segment + ".") ? [String(path.dropFirst(segment.count + 1))] : [path]
    }
  }

  private func finds(_ path: String) -> Bool {
    candidates(path).contains { parents.contains($0) }
  }

  /// What the adapter would call the base tensor `name`.
  func adapterName(_ name: String) -> String {
    let inMemory = scheme.inMemory(name)
    switch prefix {
    case .same: return inMemory
    case .added(let segment):
      return inMemory.hasPrefix(segment + ".")
        ? String(inMemory.dropFirst(segment.count + 1)) : inMemory
    case .dropped(let segment): return segment + "." + inMemory
    }
  }

  /// The name that a tensor the base does not have is written under.
  func newName(_ name: String) -> String {
    switch prefix {
    case .dropped(let segment) where name.hasPrefix(segment + "."):
      return String(name.dropFirst(segment.count + 1))
    default: return name
    }
  }

  /// The base tensor whose name is nearest to `path`, by edit distance over segments and letters.
  func nearest(to path: String) -> String? {
    let wanted = candidates(path)[0]
    var best: (distance: Int, name: String)?
    for (alias, name) in names.sorted(by: { $0.key < $1.key }) {
      let stem = alias.hasSuffix(".weight") ? String(alias.dropLast(7)) : alias
      let distance = EditDistance.between(wanted, stem, limit: best?.distance ?? 60)
      if distance < best?.distance ?? 60 { best = (distance, name) }
    }
    return best?.name
  }
}

/// Levenshtein's distance.
enum EditDistance {
  /// Insertions, deletions and replacements of bytes that turn `a` into `b`; at least `limit` when it
  /// is that or more.
  static func between(_ a: String, _ b: String, limit: Int) -> Int {
    let x = Array(a.utf8)
    let y = Array(b.utf8)
    if abs(x.count - y.count) >= limit { return limit }
    var row = Array(0...y.count)
    for i in x.indices {
      var diagonal = row[0]
      row[0] = i + 1
      var smallest = row[0]
      for j in y.indices {
        let next = min(row[j + 1] + 1, row[j] + 1, diagonal + (x[i] == y[j] ? 0 : 1))
        diagonal = row[j + 1]
        row[j + 1] = next
        smallest = min(smallest, next)
      }
      if smallest >= limit { return limit }
    }
    return row[y.count]
  }
}
