import Foundation
import Kernels

/// A tensor as it lies in a file.
struct StoredTensor {
  var dtype: String
  var shape: [Int]
  var bytes: Data

  var count: Int { shape.reduce(1, *) }

  /// The elements of a floating-point tensor.
  var reals: [Float] {
    switch dtype {
    case "F32": words(UInt32.self).map(Float.init(bitPattern:))
    case "BF16": words(UInt16.self).map { Float(bitPattern: UInt32($0) << 16) }
    case "F16": words(UInt16.self).map { Self.half($0) }
    default: preconditionFailure("\(dtype) is not a floating-point type")
    }
  }

  var adapterTensor: AdapterTensor {
    switch dtype {
    case "I64": AdapterTensor(shape: shape, values: .integer(words(Int64.self).map { Int($0) }))
    case "I32": AdapterTensor(shape: shape, values: .integer(words(Int32.self).map { Int($0) }))
    case "I16": AdapterTensor(shape: shape, values: .integer(words(Int16.self).map { Int($0) }))
    case "U8": AdapterTensor(shape: shape, values: .integer(bytes.map { Int($0) }))
    default: AdapterTensor(shape: shape, reals)
    }
  }

  private func words<Word: FixedWidthInteger>(_ type: Word.Type) -> [Word] {
    bytes.withUnsafeBytes { raw in
      (0..<raw.count / MemoryLayout<Word>.size).map {
        Word(
          littleEndian: raw.loadUnaligned(
            fromByteOffset: $0 * MemoryLayout<Word>.size, as: Word.self))
      }
    }
  }

  private static func half(_ bits: UInt16) -> Float {
    let (exponent, fraction) = (Int(bits >> 10 & 31), Float(bits & 1023))
    let magnitude =
      exponent == 0 ? fraction * 0x1p-24 : (1 + fraction * 0x1p-10) * exp2(Float(exponent - 15))
    return bits >> 15 == 0 ? magnitude : -magnitude
  }

  /// The distance of neighbouring numbers of this tensor's type at `value`.
  func ulp(at value: Float) -> Float {
    let (bits, smallest): (Float, Float) =
      switch dtype {
      case "BF16": (0x1p-7, 0x1p-133)
      case "F16": (0x1p-10, 0x1p-24)
      default: (0x1p-23, 0x1p-149)
      }
    return value == 0 ? smallest : max(exp2(Float(value.exponent)) * bits, smallest)
  }
}

/// The tensors of a safetensors file.
func readTensors(_ url: URL) throws -> [String: StoredTensor] {
  struct Entry: Decodable {
    var dtype: String
    var shape: [Int]
    var data_offsets: [Int]
  }
  struct Header: Decodable {
    var entries: [String: Entry] = [:]
    init(from decoder: any Decoder) throws {
      let container = try decoder.container(keyedBy: AnyKey.self)
      for key in container.allKeys where key.stringValue != "__metadata__" {
        entries[key.stringValue] = try container.decode(Entry.self, forKey: key)
      }
    }
  }
  let data = try Data(contentsOf: url)
  let size = data.prefix(8).enumerated().reduce(0) { $0 | Int($1.element) << (8 * $1.offset) }
  let header = try JSONDecoder().decode(Header.self, from: data[8..<8 + size])
  return header.entries.mapValues { entry in
    StoredTensor(
      dtype: entry.dtype, shape: entry.shape,
      bytes: Data(data[(8 + size + entry.data_offsets[0])..<(8 + size + entry.data_offsets[1])]))
  }
}

struct AnyKey: CodingKey {
  var stringValue: String
  var intValue: Int? { nil }
  init(stringValue: String) { self.stringValue = stringValue }
  init?(intValue: Int) { nil }
}

/// A value of a JSON file; keys of tables are sorted, as PEFT writes them.
struct JSONSetting: Decodable {
  var setting: Setting

  init(from decoder: any Decoder) throws {
    if let keyed = try? decoder.container(keyedBy: AnyKey.self) {
      setting = .table(
        try keyed.allKeys.sorted { $0.stringValue < $1.stringValue }.map {
          ($0.stringValue, try keyed.decode(JSONSetting.self, forKey: $0).setting)
        })
      return
    }
    if var list = try? decoder.unkeyedContainer() {
      var items: [Setting] = []
      while !list.isAtEnd { items.append(try list.decode(JSONSetting.self).setting) }
      setting = .list(items)
      return
    }
    let value = try decoder.singleValueContainer()
    if value.decodeNil() {
      setting = .null
    } else if let bool = try? value.decode(Bool.self) {
      setting = .bool(bool)
    } else if let integer = try? value.decode(Int.self) {
      setting = .integer(integer)
    } else if let real = try? value.decode(Double.self) {
      setting = .real(real)
    } else {
      setting = .text(try value.decode(String.self))
    }
  }
}
