import CKernels

/// A matrix in the form in which it is held: f32, 16 bit, or packed so that it must be decoded. Products
/// read it a tile at a time.
public struct StoredMatrix: @unchecked Sendable {
  public let rows: Int
  public let columns: Int
  private let storage: Storage

  private enum Storage {
    /// The elements, row by row, and what keeps them in memory.
    case elements(ElementType, UnsafeRawPointer, owner: AnyObject?)
    case packed(PackedMatrix)
  }

  /// A matrix over memory that `owner` keeps.
  ///
  /// - Parameter start: `rows × columns` elements, row by row.
  public init(
    _ start: UnsafeRawPointer, element: ElementType, rows: Int, columns: Int, owner: AnyObject?
  ) {
    self.rows = rows
    self.columns = columns
    storage = .elements(element, start, owner: owner)
  }

  /// A quantized matrix.
  public init(_ matrix: PackedMatrix) {
    rows = matrix.rows
    columns = matrix.columns
    storage = .packed(matrix)
  }

  /// The matrix as it is packed; nil where the elements are held as such.
  public var packed: PackedMatrix? {
    if case .packed(let matrix) = storage { matrix } else { nil }
  }

  /// An operand of a product. Valid as long as this matrix lives.
  func operand(transposed: Bool) -> ck_operand {
    var operand = ck_operand()
    operand.stride = columns
    operand.transposed = transposed ? 1 : 0
    switch storage {
    case .elements(let element, let start, owner: _):
      operand.start = start
      operand.element = element.kernelElement
    case .packed(let matrix):
      operand.decode_context = matrix.description
      operand.decode = matrix.decoder
    }
    return operand
  }

  /// Writes row `row` in f32 to `destination`, `columns` numbers.
  public func read(row: Int, into destination: UnsafeMutablePointer<Float>) {
    switch storage {
    case .elements(let element, let start, owner: _):
      ck_widen(
        element.kernelElement, start + row * columns * element.size, destination, columns)
    case .packed(let matrix):
      matrix.decode(row: row, columns: 0..<columns, into: destination)
    }
  }
}

extension StoredMatrix: RowSource {
  public func read(into band: RowBand) {
    for row in band.rows {
      if let start = band[row].baseAddress { read(row: row, into: start) }
    }
  }
}
