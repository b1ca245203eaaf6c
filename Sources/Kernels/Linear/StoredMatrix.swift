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
    case decoded(DecoderBox)
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

  /// A matrix whose rows come from `decoder`.
  public init(_ decoder: any RowDecoder) {
    rows = decoder.rows
    columns = decoder.columns
    storage = .decoded(DecoderBox(decoder))
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
    case .decoded(let box):
      operand.decode_context = UnsafeRawPointer(Unmanaged.passUnretained(box).toOpaque())
      operand.decode = { context, row, column, count, destination in
        guard let context, let destination else { return }
        Unmanaged<DecoderBox>.fromOpaque(context).takeUnretainedValue().decoder
          .decode(row: row, columns: column..<column + count, into: destination)
      }
    }
    return operand
  }

  /// Writes row `row` in f32 to `destination`, `columns` numbers.
  public func read(row: Int, into destination: UnsafeMutablePointer<Float>) {
    switch storage {
    case .elements(let element, let start, owner: _):
      ck_widen(
        element.kernelElement, start + row * columns * element.size, destination, columns)
    case .decoded(let box):
      box.decoder.decode(row: row, columns: 0..<columns, into: destination)
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

/// A matrix that is held in a packed form, such as NF4.
public protocol RowDecoder: AnyObject, Sendable {
  var rows: Int { get }
  var columns: Int { get }
  /// Writes a part of a row in f32. Several threads call it at once.
  func decode(row: Int, columns: Range<Int>, into destination: UnsafeMutablePointer<Float>)
}

/// An object with a fixed address for C to hold.
private final class DecoderBox: Sendable {
  let decoder: any RowDecoder
  init(_ decoder: any RowDecoder) { self.decoder = decoder }
}
