import Safetensors

/// Where the lines of a file are; their text stays in the file.
struct LineIndex: Sendable {
  private let file: InputFile
  /// Of each line that is not blank: its first byte and its number from 1.
  private let starts: [(offset: Int, number: Int)]

  private static let blockSize = 1 << 20

  init(_ file: InputFile) throws(FileError) {
    var starts: [(offset: Int, number: Int)] = []
    var number = 1
    var lineIsBlank = true
    var offset = 0
    while offset < file.size {
      let block = try file.read(count: min(Self.blockSize, file.size - offset), at: offset)
      for (i, byte) in block.enumerated() {
        switch byte {
        case 0x0A:
          number += 1
          lineIsBlank = true
        case 0x20, 0x09, 0x0D: break
        default:
          if lineIsBlank { starts.append((offset + i, number)) }
          lineIsBlank = false
        }
      }
      offset += block.count
    }
    self.file = file
    self.starts = starts
  }

  var count: Int { starts.count }

  func number(at index: Int) -> Int { starts[index].number }

  /// The line's bytes from its first that is not white space, without the newline.
  func bytes(at index: Int) throws(FileError) -> [UInt8] {
    let start = starts[index].offset
    let limit = index + 1 < starts.count ? starts[index + 1].offset : file.size
    let bytes = try file.read(count: limit - start, at: start)
    return Array(bytes.prefix { $0 != 0x0A })
  }
}
