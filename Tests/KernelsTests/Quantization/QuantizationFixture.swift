import Foundation
import Kernels
import Safetensors

/// A file of Fixtures/nf4.
struct QuantizationFixture {
  static let fourBit = QuantizationFixture("four_bit.safetensors")
  static let int8 = QuantizationFixture("int8.safetensors")

  private let file: Result<SafetensorsFile, any Error>

  private init(_ name: String) {
    let package = URL(filePath: #filePath).appending(path: "../../../..").standardized
    let path = package.appending(path: "Fixtures/nf4").appending(path: name).path
    file = Result { try SafetensorsFile(path: path) }
  }

  func names() throws -> [String] { try file.get().header.tensors.map(\.name) }

  func bytes(_ name: String) throws -> [UInt8] {
    let file = try file.get()
    return try file.read(file.header.tensor(name))
  }

  /// nil where the file has no such tensor.
  func bytesIfAny(_ name: String) throws -> [UInt8]? {
    try file.get().header[name] == nil ? nil : bytes(name)
  }

  func floats(_ name: String) throws -> [Float] { ElementType.f32.widened(try bytes(name)) }
}

/// A case of four_bit.safetensors, named `weight.dtype.code.block`.
struct FourBitCase: CustomStringConvertible {
  let name: String
  let element: ElementType
  let format: FourBitFormat
  /// The weight, as stored.
  let input: [UInt8]

  static func all() throws -> [FourBitCase] {
    try QuantizationFixture.fourBit.names().filter { $0.hasSuffix(".packed") }.map {
      try FourBitCase(name: String($0.dropLast(".packed".count)))
    }
  }

  private init(name: String) throws {
    let fields = name.split(separator: ".")
    self.name = name
    element = ElementType(rawValue: String(fields[1]))!
    format = try FourBitFormat(code: fields[2] == "nf4" ? .nf4 : .fp4, blockSize: Int(fields[3])!)
    input =
      fields[0] == "ramp"
      ? element.rounded(Self.ramp(40000))
      : try QuantizationFixture.fourBit.bytes("\(name).input")
  }

  var description: String { name }
  var elements: Int { input.count / element.size }

  func bytes(_ part: String) throws -> [UInt8] {
    try QuantizationFixture.fourBit.bytes("\(name).\(part)")
  }

  func bytesIfAny(_ part: String) throws -> [UInt8]? {
    try QuantizationFixture.fourBit.bytesIfAny("\(name).\(part)")
  }

  func floats(_ part: String) throws -> [Float] { ElementType.f32.widened(try bytes(part)) }

  /// Numbers of a linear congruential generator in [−0.5, 0.5), as Fixtures/nf4/make_fixtures.py
  /// makes them.
  static func ramp(_ count: Int) -> [Float] {
    var state: UInt32 = 12345
    return (0..<count).map { _ in
      state = state &* 1_664_525 &+ 1_013_904_223
      return Float(state >> 8) / 16_777_216 - 0.5
    }
  }
}
