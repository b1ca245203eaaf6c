/// How PEFT's LoKr splits a layer's sizes: one `decompose_factor` for all modules.
enum KroneckerFactor {
  /// The sizes of the two factors for `dimension`: `factor` where it divides it, else the divisor nearest
  /// to the root that is not above `factor`; -1 sets no bound.
  static func split(_ dimension: Int, factor: Int) -> (small: Int, large: Int) {
    if factor > 0, dimension.isMultiple(of: factor) {
      return (factor, dimension / factor)
    }
    let bound = factor < 0 ? dimension : factor
    var (small, large) = (1, dimension)
    while small < large {
      var next = small + 1
      while !dimension.isMultiple(of: next) { next += 1 }
      guard next + dimension / next <= small + large, next <= bound else { break }
      (small, large) = (next, dimension / next)
    }
    return (min(small, large), max(small, large))
  }

  /// The rank at which PEFT makes the second factor full: half its larger side.
  static func rankOfFull(_ tensors: [String: DraftTensor]) -> Int {
    let shape = tensors["lokr_w2"]?.shape.prefix(2) ?? []
    return max(1, ((shape.max() ?? 1) + 1) / 2)
  }

  /// The `decompose_factor` that gives the factors of every module their sizes; -1, PEFT's default, where
  /// there is none: LyCORIS can split in ways that PEFT cannot.
  static func setting(
    of modules: [[String: DraftTensor]]
  ) -> Int {
    let pairs = modules.flatMap { sizes($0) }
    let candidates = [-1] + Set(pairs.map(\.small)).sorted()
    for factor in candidates {
      let fits = pairs.allSatisfy { pair in
        split(pair.small * pair.large, factor: factor) == (pair.small, pair.large)
      }
      if fits { return factor }
    }
    return -1
  }

  /// Output and input sizes of the two factors. A low-rank factor of a convolution may have the kernel in
  /// its columns, so that only its rows are a size.
  private static func sizes(_ tensors: [String: DraftTensor]) -> [(small: Int, large: Int)] {
    guard let first = shape(tensors, "lokr_w1"), let second = shape(tensors, "lokr_w2") else {
      return []
    }
    let rows = (small: first.rows, large: second.rows)
    let hasKernel = tensors["lokr_w2"] == nil && tensors["lokr_t2"] == nil
    return hasKernel ? [rows] : [rows, (small: first.columns, large: second.columns)]
  }

  private static func shape(
    _ tensors: [String: DraftTensor], _ name: String
  ) -> (rows: Int, columns: Int)? {
    if let full = tensors[name]?.shape, full.count >= 2 { return (full[0], full[1]) }
    guard let a = tensors[name + "_a"]?.shape, let b = tensors[name + "_b"]?.shape,
      a.count == 2, b.count == 2
    else { return nil }
    let hasCore = name == "lokr_w2" && tensors["lokr_t2"] != nil
    return (hasCore ? a[1] : a[0], b[1])
  }
}
