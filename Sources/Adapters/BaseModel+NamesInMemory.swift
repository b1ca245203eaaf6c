extension BaseModel {
  /// The tensors by the names that they have in memory, which are those that adapters use: newer versions
  /// of transformers rename modules of some families when they load a checkpoint.
  public var tensorsInMemory: [String: Tensor] {
    let own = NameScheme.all.first { modelType.map($0.modelTypes.contains) ?? false }
    return Dictionary(
      tensors.map { (own?.inMemory($0.name) ?? $0.name, $0) },
      uniquingKeysWith: { first, _ in first })
  }
}
