import CKernels

extension ElementType {
  /// The index of the first infinity or NaN among stored elements, of any alignment; nil if there is
  /// none.
  public func firstNonFinite(in source: UnsafeRawBufferPointer) -> Int? {
    guard let from = source.baseAddress else { return nil }
    let count = source.count / size
    let index = ck_first_non_finite(kernelElement, from, count)
    return index < count ? index : nil
  }
}
