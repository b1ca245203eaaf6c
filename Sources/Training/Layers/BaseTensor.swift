import CKernels
import Kernels

/// A tensor of the base model: frozen and held as it is stored, or trained in f32.
public final class BaseTensor {
  /// Its name in memory: `model.layers.0.self_attn.q_proj.weight`.
  public let name: String
  /// Its name in the checkpoint; nil for one that the checkpoint does not have.
  public let storedName: String?
  public let shape: [Int]
  /// The type that the elements were given in.
  public let element: ElementType
  /// The gradient's memory where the tensor is trained.
  public private(set) var gradient: Row<Float>?
  /// The elements as a matrix: the first dimension × all others.
  public private(set) var matrix: StoredMatrix
  /// The elements, where they are in f32.
  private var floats: Row<Float>?

  public var isTrained: Bool { gradient != nil }
  /// Held quantized: such a tensor is not trained itself.
  public var isQuantized: Bool { matrix.packed != nil }
  public var count: Int { shape.reduce(1, *) }

  /// A tensor over elements that `owner` keeps.
  public init(
    name: String, storedName: String? = nil, shape: [Int], element: ElementType,
    start: UnsafeMutableRawPointer, owner: AnyObject
  ) {
    self.name = name
    self.storedName = storedName
    self.shape = shape
    self.element = element
    let (rows, columns) = Self.dimensions(shape)
    matrix = StoredMatrix(start, element: element, rows: rows, columns: columns, owner: owner)
    if element == .f32 {
      floats = Row(
        start: start.assumingMemoryBound(to: Float.self), count: shape.reduce(1, *))
    }
  }

  /// The weight of a linear layer that is held quantized, `out × in` whatever `shape` says.
  ///
  /// - Parameter element: the type that it decodes to.
  public init(
    name: String, storedName: String?, shape: [Int], element: ElementType, _ packed: PackedMatrix
  ) {
    precondition(packed.rows * packed.columns == shape.reduce(1, *))
    self.name = name
    self.storedName = storedName
    self.shape = shape
    self.element = element
    matrix = StoredMatrix(packed)
  }

  /// A tensor of `values`.
  public convenience init(
    name: String, storedName: String? = nil, shape: [Int], _ values: [Float]
  ) {
    let buffer = ScalarBuffer<Float>(values)
    precondition(values.count == shape.reduce(1, *))
    self.init(
      name: name, storedName: storedName, shape: shape, element: .f32,
      start: UnsafeMutableRawPointer(buffer.matrix(rows: 1, columns: values.count).start),
      owner: buffer)
  }

  private static func dimensions(_ shape: [Int]) -> (rows: Int, columns: Int) {
    shape.count == 1 ? (1, shape[0]) : (shape[0], shape.dropFirst().reduce(1, *))
  }

  /// The elements of a vector, which the loader holds in f32.
  public var values: Row<Float> {
    guard let floats else { preconditionFailure("\(name) is not held in f32") }
    return floats
  }

  /// A copy of all elements in f32.
  public func elements() -> [Float] {
    let buffer = ScalarBuffer<Float>(count: count)
    if let start = buffer.values.baseAddress {
      for row in 0..<matrix.rows { matrix.read(row: row, into: start + row * matrix.columns) }
    }
    return Array(buffer.values)
  }

  /// The address of `values`, which has at least one element.
  var start: UnsafeMutablePointer<Float> {
    guard let start = values.baseAddress else { preconditionFailure("\(name) is empty") }
    return start
  }

  /// Moves the elements into memory that an optimiser changes. From now on the layers add to `gradient`.
  public func train(values: Row<Float>, gradient: Row<Float>, owner: AnyObject) {
    precondition(values.count == count && gradient.count == count && !isQuantized)
    guard let start = values.baseAddress else { return }
    for row in 0..<matrix.rows { matrix.read(row: row, into: start + row * matrix.columns) }
    matrix = StoredMatrix(
      start, element: .f32, rows: matrix.rows, columns: matrix.columns, owner: owner)
    floats = values
    self.gradient = gradient
  }

  /// Replaces the elements, which must be in f32.
  public func set(_ elements: [Float]) {
    precondition(elements.count == count)
    _ = values.update(fromContentsOf: elements)
  }
}
