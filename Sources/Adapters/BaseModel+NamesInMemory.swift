extension BaseModel {
  /// The tensors by the names that they have in memory, which are those that adapters use: newer versions
  /// of transformers rename modules of some families when they load a checkpoint.
  public var tensorsInMemory: [String: Tensor] {
    let own = ownScheme
    return Dictionary(
      tensors.map { (own?.inMemory($0.name) ?? $0.name, $0) },
      uniquingKeysWith: { first, _ in first })
  }

  /// The name in memory of the checkpoint's `name`, a tensor or a module.
  public func nameInMemory(_ name: String) -> String {
    ownScheme?.inMemory(name) ?? name
  }

  private var ownScheme: NameScheme? {
    NameScheme.all.first { modelType.map($0.modelTypes.contains) ?? false }
  }
}
