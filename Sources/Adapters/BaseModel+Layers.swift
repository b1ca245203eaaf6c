import Kernels

extension BaseModel.Tensor {
  /// The path of the module that the tensor is a parameter of.
  public var module: String {
    name.lastIndex(of: ".").map { String(name[..<$0]) } ?? ""
  }

  /// The parameter's name within its module: `weight`.
  public var parameter: String {
    name.lastIndex(of: ".").map { String(name[name.index(after: $0)...]) } ?? name
  }
}

extension BaseModel {
  /// The layer whose weight `tensor` is: a linear layer, a convolution or an embedding; nil for what
  /// is no weight matrix of floating-point numbers.
  public func layer(of tensor: Tensor) -> LayerGeometry? {
    guard tensor.parameter == "weight", tensor.shape.count >= 2,
      let element = ElementType(tensor.dtype)
    else { return nil }
    let module = tensor.module
    let isTable = Architecture.isEmbedding(module: module)
    let kind: LayerGeometry.Kind =
      tensor.shape.count > 2 ? .convolution : isTable ? .embedding : .linear
    return LayerGeometry(
      module: module, kind: kind, shape: tensor.shape,
      storedTransposed: kind == .linear
        && Architecture.storesTransposed(modelType: modelType, module: module) == true,
      element: element, hasBias: contains(module + ".bias"))
  }
}
