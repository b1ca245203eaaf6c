import Kernels
import Safetensors

/// Where the bytes of one output tensor come from.
///
/// The executor asks for byte ranges, from several threads at once and in any order; each byte is
/// asked for once. The bytes must not depend on how the ranges are cut.
protocol TensorSource: Sendable {
  /// Called once before the first range, by whichever thread comes first: what the tensor needs is
  /// read into memory here.
  func open(_ workspace: Workspace) throws

  /// Writes bytes `range` of the tensor to `output`, which has as many.
  func fill(
    _ output: UnsafeMutableRawBufferPointer, range: Range<Int>, workspace: Workspace
  ) throws

  /// Called once after the last range: what `open` holds is let go.
  ///
  /// - Parameter checksum: CRC-32 of the tensor's output bytes.
  func close(checksum: UInt32) throws

  /// The file range that the bytes are copied from unchanged; nil when they are computed.
  var copied: (file: InputFile, offset: Int)? { get }
}

extension TensorSource {
  func open(_ workspace: Workspace) throws {}
  func close(checksum: UInt32) throws {}
  var copied: (file: InputFile, offset: Int)? { nil }
}

/// A tensor copied as it is.
struct CopiedTensor: TensorSource {
  let file: InputFile
  let offset: Int

  func fill(
    _ output: UnsafeMutableRawBufferPointer, range: Range<Int>, workspace: Workspace
  ) throws {
    try file.read(into: output, at: offset + range.lowerBound)
  }

  var copied: (file: InputFile, offset: Int)? { (file, offset) }
}

/// A small tensor whose bytes are at hand.
struct HeldTensor: TensorSource {
  let bytes: [UInt8]

  func fill(
    _ output: UnsafeMutableRawBufferPointer, range: Range<Int>, workspace: Workspace
  ) throws {
    bytes.withUnsafeBytes { output.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[range])) }
  }
}
