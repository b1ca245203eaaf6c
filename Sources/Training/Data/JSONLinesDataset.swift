import Safetensors

/// A file of JSON lines, each an object: see ``RecordEncoder`` for its keys. Blank lines are skipped.
///
/// Lines are read and encoded when they are asked for; only their places are in memory.
public struct JSONLinesDataset: Dataset {
  public let path: String
  private let lines: LineIndex
  private let encoder: RecordEncoder

  /// Opens the file and finds its lines; errors within them show when they are read.
  ///
  /// - Throws: `file`, `empty`.
  public init(path: String, encoder: RecordEncoder) throws(DataError) {
    do throws(FileError) {
      lines = try LineIndex(InputFile(path: path))
    } catch {
      throw DataError.file(error)
    }
    if lines.count == 0 { throw DataError.empty(path: path) }
    self.path = path
    self.encoder = encoder
  }

  public var count: Int { lines.count }

  public func example(at index: Int) throws(DataError) -> Example {
    let bytes: [UInt8]
    do throws(FileError) {
      bytes = try lines.bytes(at: index)
    } catch {
      throw DataError.file(error)
    }
    do throws(RecordError) {
      return try encoder.encode(bytes)
    } catch {
      throw DataError.record(path: path, line: lines.number(at: index), error)
    }
  }
}
