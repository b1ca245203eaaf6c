import Kernels
import Safetensors

/// Two tensors of one name and shape, cut into pieces that are compared on their own.
///
/// The pieces follow from the shape alone, so that no sum depends on the number of threads.
struct TensorPair: Sendable {
  /// Elements that are in memory at one time, of each side.
  let tileElements: Int
  /// Elements that are compared in one go, in f32.
  static let pieceElements = 1 << 14

  let a: ComparedTensor
  let b: ComparedTensor
  /// How the elements become numbers; nil where only bytes can be compared.
  let formats: (a: NumberFormat, b: NumberFormat)?
  /// Elements; bytes where the elements are no numbers.
  let count: Int
  /// Elements of a row; of a vector those that are added up together.
  let rowLength: Int
  /// What magnitude and direction are taken of; nil where the tensor is no matrix.
  let features: Features?
  /// Elements that one worker compares: whole rows.
  private let unitElements: Int

  enum Features: Sendable {
    case rows
    /// The weight is stored `in × out`.
    case columns
  }

  /// - Returns: nil for elements of different types that are no numbers.
  /// - Precondition: both have the same shape.
  init?(_ a: ComparedTensor, _ b: ComparedTensor, tileElements: Int = 1 << 20) {
    (self.a, self.b, self.tileElements) = (a, b, tileElements)
    let elements = a.shape.contains(0) ? 0 : a.shape.reduce(1, *)
    if let first = NumberFormat(a.dtype), let second = NumberFormat(b.dtype) {
      formats = (first, second)
      count = elements
    } else {
      guard a.dtype == b.dtype else { return nil }
      formats = nil
      count = elements / 8 * a.dtype.bits + elements % 8 * a.dtype.bits / 8
    }
    let isTransposed = a.storedTransposed || b.storedTransposed
    let isWide = if case .wide = formats?.a { true } else { false }
    if a.shape.count < 2 || count == 0 || formats == nil || isTransposed && isWide {
      features = nil
      rowLength = 4096
    } else {
      // A stack of experts is seen row by row.
      let isStack = a.shape.count == 3 && a.name.contains("experts")
      features = isTransposed ? .columns : .rows
      rowLength = MergedTensor.Shape(a.shape, isStack: isStack).columns
    }
    // Sums over columns need all rows, one after the other.
    unitElements =
      features == .columns
      ? max(count, 1) : max(rowLength, tileElements / rowLength * rowLength)
  }

  /// Bits of an element of either side.
  var bits: (a: Int, b: Int) { formats == nil ? (8, 8) : (a.dtype.bits, b.dtype.bits) }

  var units: Int { (count + unitElements - 1) / unitElements }

  /// Rows, or columns, that magnitude and direction are means over.
  var featureCount: Int {
    switch features {
    case .rows: count / rowLength
    case .columns: rowLength
    case nil: 0
    }
  }

  /// The elements of unit `index`.
  func elements(_ index: Int) -> Range<Int> {
    index * unitElements..<min((index + 1) * unitElements, count)
  }

  /// Stored bytes of both sides.
  var bytes: Int { count * (bits.a + bits.b) / 8 }
}

/// What was found in one unit of a pair, or in all of it.
struct PairSums: Sendable {
  var comparison = RowComparison()
  /// Σ |‖b‖ − ‖a‖| and Σ (1 − cos(a, b)) over rows.
  var magnitude = 0.0
  var direction = 0.0
  /// The largest distance in representable numbers.
  var distance = 0
  /// All bytes are the same, and of the same type.
  var isEqual = true

  /// Takes in the sums of a row.
  mutating func add(_ row: RowComparison, isFeature: Bool) {
    comparison += row
    if isFeature { addFeature(row) }
  }

  /// Takes in how one output feature changed.
  mutating func addFeature(_ row: RowComparison) {
    let (a, b) = (row.aSquared.squareRoot(), row.bSquared.squareRoot())
    // ‖b‖ − ‖a‖ without the error of two roots.
    if a + b > 0 { magnitude += abs((row.bSquared - row.aSquared) / (a + b)) }
    direction += row.cosineDistance ?? (a == b ? 0 : 1)
  }

  static func += (total: inout PairSums, unit: PairSums) {
    total.comparison += unit.comparison
    total.magnitude += unit.magnitude
    total.direction += unit.direction
    total.distance = max(total.distance, unit.distance)
    total.isEqual = total.isEqual && unit.isEqual
  }
}
