import Adapters
import Safetensors

/// The names of a classifier's classes, in the order of their ids.
enum LabelNames {
  /// Those of `config.json` where the model has a head; otherwise those of the data: names in order of
  /// their code points, or the numbers from 0.
  static func find(
    in base: BaseModel, data path: String, hasHead: Bool
  ) throws -> [String] {
    let stated = stated(base.config)
    if hasHead || path.hasSuffix(".safetensors") { return stated ?? ["LABEL_0", "LABEL_1"] }
    let found = try labels(of: path)
    if let stated, found.names.isSubset(of: stated), found.count <= stated.count { return stated }
    if !found.names.isEmpty {
      return found.names.sorted { $0.unicodeScalars.lexicographicallyPrecedes($1.unicodeScalars) }
    }
    return (0..<max(found.count, 2)).map { "LABEL_\($0)" }
  }

  private static func stated(_ config: JSONObject?) -> [String]? {
    guard let names = config?["id2label"]?.object else { return nil }
    let pairs = names.entries.compactMap { entry in
      Int(entry.key).flatMap { id in entry.value.string.map { (id, $0) } }
    }
    return pairs.sorted { $0.0 < $1.0 }.map(\.1)
  }

  /// The labels of JSON lines: names, and how many numbers.
  private static func labels(of path: String) throws -> (names: Set<String>, count: Int) {
    let lines: LineIndex
    do { lines = try LineIndex(InputFile(path: path)) } catch { throw DataError.file(error) }
    var names: Set<String> = []
    var count = 0
    for index in 0..<lines.count {
      // What is wrong with a line shows when it is read as an example.
      guard let record = try? JSONValue.parse(lines.bytes(at: index)) else { continue }
      if let name = record["label"]?.string { names.insert(name) }
      if let number = record["label"]?.number?.int { count = max(count, number + 1) }
    }
    return (names, count)
  }
}
