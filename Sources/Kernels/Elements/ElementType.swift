/// The element types that arithmetic is done on. Everything is computed in f32 and rounded once,
/// to nearest even, when it is stored (spec/numerics.md).
public enum ElementType: String, Sendable, CaseIterable {
  case f32
  case f16
  case bf16

  /// Bytes per element.
  public var size: Int { self == .f32 ? 4 : 2 }
}
