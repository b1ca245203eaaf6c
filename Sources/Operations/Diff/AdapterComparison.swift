import Adapters
import Kernels
import Safetensors
import Synchronization

/// What differs between two adapters beyond their tensors: the configuration, and the changes that
/// their modules make.
public struct AdapterComparison: Sendable {
  /// A field of `adapter_config.json` that is not the same.
  public struct Field: Sendable, Equatable {
    public let name: String
    /// nil where the file does not have it.
    public let a: JSONValue?
    public let b: JSONValue?
  }

  /// The change of one module.
  public struct Change: Sendable, Equatable {
    public let rank: Int
    /// ‖ΔW‖, Frobenius, the scale included.
    public let norm: Double
    /// Σσ² / σ₁².
    public let stableRank: Double
    /// exp(−Σ p·ln p) with p = σ / Σσ.
    public let effectiveRank: Double
    /// Descending, `rank` of them.
    public let singularValues: [Double]
  }

  public struct Module: Sendable, Equatable {
    public let module: String
    /// nil where the adapter does not have the module, or its change has no low-rank form.
    public let a: Change?
    public let b: Change?
    /// ⟨ΔA, ΔB⟩ / (‖ΔA‖·‖ΔB‖); nil where one is zero, missing or of another size.
    public let cosine: Double?
    /// ‖ΔA − ΔB‖ / ‖ΔA‖; nil where ΔA is zero, or one is missing or of another size.
    public let relativeNorm: Double?
  }

  public let fields: [Field]
  /// Modules whose change has a low-rank form in one adapter at least, in natural order.
  public let modules: [Module]

  init(_ a: AdapterFile, _ b: AdapterFile, request: DiffRequest) throws {
    fields = Self.fields(a.config.json, b.config.json)
    let first = AdapterFactors(a)
    let second = AdapterFactors(b)
    let names = Set(first.modules.keys).union(second.modules.keys)
      .filter(request.wants).sorted(by: NaturalOrder.precedes)
    let found = Mutex<[Int: Module]>([:])
    let next = Atomic<Int>(0)
    try Workers.run(count: max(1, min(request.threads, names.count))) { _ in
      while true {
        let index = next.add(1, ordering: .relaxed).oldValue
        guard index < names.count else { return }
        let module = try Self.compare(
          names[index], try first.factors(names[index]), try second.factors(names[index]))
        if let module { found.withLock { $0[index] = module } }
      }
    }
    let modules = found.withLock { $0 }
    self.modules = names.indices.compactMap { modules[$0] }
  }

  private static func compare(
    _ name: String, _ a: LowRankFactors?, _ b: LowRankFactors?
  ) throws -> Module? {
    guard a != nil || b != nil else { return nil }
    let (first, second) = (a.map(MeasuredFactors.init), b.map(MeasuredFactors.init))
    let (changeA, changeB) = (try first?.change(), try second?.change())
    var (cosine, relative): (Double?, Double?)
    if let first, let second, let changeA, let changeB,
      first.factors.rows == second.factors.rows, first.factors.columns == second.factors.columns
    {
      if changeA.norm > 0, changeB.norm > 0 {
        cosine = min(max(first.inner(second) / changeA.norm / changeB.norm, -1), 1)
      }
      let distance = first.squaredDistance(second).squareRoot()
      relative = distance == 0 ? 0 : changeA.norm > 0 ? distance / changeA.norm : nil
    }
    return Module(module: name, a: changeA, b: changeB, cosine: cosine, relativeNorm: relative)
  }

  // MARK: - Configuration

  /// Settings that PEFT writes as lists in no particular order.
  private static let sets: Set<String> = [
    "target_modules", "exclude_modules", "modules_to_save", "feedforward_modules",
    "target_parameters",
  ]

  /// Fields that differ, by name. A field that is null, false, empty or "none" is as good as none.
  static func fields(_ a: JSONObject, _ b: JSONObject) -> [Field] {
    Set(a.keys).union(b.keys).sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
      .compactMap { name in
        let (x, y) = (a[name], b[name])
        return canonical(x, name) == canonical(y, name) ? nil : Field(name: name, a: x, b: y)
      }
  }

  private static func canonical(_ value: JSONValue?, _ name: String) -> Setting {
    let setting = value.map { Setting($0) } ?? .null
    switch setting {
    case .bool(false), .list([]), .text(""), .text("none"): return .null
    case .table(let entries) where entries.isEmpty: return .null
    case .list(let items) where sets.contains(name):
      return .list(items.sorted { $0.description < $1.description })
    default: return setting
    }
  }
}

extension MeasuredFactors {
  func change() throws -> AdapterComparison.Change {
    let values = try singularValues()
    return AdapterComparison.Change(
      rank: factors.rank, norm: max(0, squaredNorm).squareRoot(), stableRank: stableRank(values),
      effectiveRank: effectiveRank(values), singularValues: values)
  }
}
