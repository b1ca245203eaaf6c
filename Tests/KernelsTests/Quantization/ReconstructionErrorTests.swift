import CKernels
import Foundation
import Testing

@testable import Kernels

extension KernelPaths {
  @Suite struct Errors {
    @Test func sumsAreExactEnoughAndTheSameOnEveryPath() throws {
      var random = SplitMix64(seed: 41)
      for count in [0, 1, 15, 16, 33, 1025, 4096] {
        for element in ElementType.allCases {
          let bytes = element.rounded(random.floats(count, 1))
          let decoded = random.floats(count, 1)
          let differences = zip(element.widened(bytes), decoded).map { Double($0 - $1) }
          let squared = differences.reduce(0) { $0 + $1 * $1 }
          let weight = element.widened(bytes).reduce(0) { $0 + Double($1) * Double($1) }
          var results: [ReconstructionError] = []
          KernelPaths.each { _ in
            results.append(
              bytes.withUnsafeBytes { bytes in
                decoded.withUnsafeBufferPointer {
                  ReconstructionError(of: bytes, as: element, decoded: $0)
                }
              })
          }
          let first = results[0]
          #expect(results.allSatisfy { $0 == first })
          #expect(first.elements == count)
          #expect(first.largest == differences.map(abs).max() ?? 0)
          #expect(abs(first.squaredError - squared) <= squared * 1e-13)
          #expect(abs(first.squaredWeight - weight) <= weight * 1e-13)
        }
      }
    }
  }
}

extension KernelPaths.Errors {
  /// Quantizing and measuring in one loop gives what they give one after the other, to the last bit.
  @Test(arguments: ElementType.allCases, [FourBitCode.nf4, .fp4])
  func measuredWhileQuantized(element: ElementType, code: FourBitCode) throws {
    var random = SplitMix64(seed: 45)
    for (blockSize, count) in [
      (32, 8192), (64, 0), (64, 1), (64, 4096), (64, 9001), (256, 8192), (4096, 12288 + 65),
    ] {
      let format = try FourBitFormat(code: code, blockSize: blockSize)
      var values = random.floats(count, 0.05)
      for index in values.indices {
        // Blocks of zeros, of subnormal numbers, and of elements on thresholds.
        switch index / blockSize % 7 {
        case 2: values[index] = 0
        case 3: values[index] *= 0x1p-126
        case 4: values[index] = index % blockSize == 0 ? 1 : code.thresholds[index % 15]
        default: break
        }
      }
      let bytes = element.rounded(values)
      KernelPaths.each { path in
        let expected = format.encoded(bytes, as: element)
        var absmax = [Float](repeating: -1, count: expected.absmax.count)
        bytes.withUnsafeBytes { bytes in
          absmax.withUnsafeMutableBufferPointer {
            format.findScales(of: bytes, as: element, into: $0)
          }
        }
        #expect(bits(absmax) == bits(expected.absmax), "\(blockSize) \(count) \(path)")
        let restored = absmax.enumerated().map { $1 * (1 + Float($0 % 7) / 256) }
        var packed = [UInt8](repeating: 0xEE, count: expected.packed.count)
        let errors = bytes.withUnsafeBytes { bytes in
          packed.withUnsafeMutableBytes { packed in
            absmax.withUnsafeBufferPointer { absmax in
              restored.withUnsafeBufferPointer {
                format.encode(bytes, as: element, absmax: absmax, restored: $0, packed: packed)
              }
            }
          }
        }
        #expect(packed == expected.packed, "\(blockSize) \(count) \(path)")
        let decoded = format.decoded(0..<count, packed: packed, absmax: restored, as: .f32)
        let twins = stride(from: 0, to: count, by: FourBitTensor.run).map { start in
          let run = start..<min(start + FourBitTensor.run, count)
          return ReconstructionError(
            twin: element.widened(bytes)[run], ElementType.f32.widened(decoded)[run])
        }
        #expect(errors == twins, "\(blockSize) \(count) \(path)")
      }
    }
  }
}

extension ReconstructionError {
  /// One element at a time: squares of differences in f32 in 32 sums, added by halves.
  fileprivate init(twin values: ArraySlice<Float>, _ decoded: ArraySlice<Float>) {
    var (error, weight) = ([Double](repeating: 0, count: 32), [Double](repeating: 0, count: 32))
    var largest = 0.0
    for (index, (value, decoded)) in zip(values, decoded).enumerated() {
      let difference = Double(value - decoded)
      error[index % 32] += difference * difference
      weight[index % 32] += Double(value) * Double(value)
      largest = max(largest, abs(difference))
    }
    for width in [16, 8, 4, 2, 1] {
      for lane in 0..<width {
        error[lane] += error[lane + width]
        weight[lane] += weight[lane + width]
      }
    }
    self.init(
      ck_quantization_error(
        error_squared: error[0], weight_squared: weight[0], largest_error: largest),
      elements: values.count)
  }
}

@Suite struct ReconstructionErrorTests {
  @Test func runsOfATensor() throws {
    var random = SplitMix64(seed: 42)
    let count = 3 * FourBitTensor.run + 77
    let bytes = ElementType.bf16.rounded(random.floats(count, 0.05))
    let tensor = try bytes.withUnsafeBytes {
      try FourBitTensor(quantizing: $0, as: .bf16, format: FourBitFormat())
    }
    let whole = bytes.withUnsafeBytes { tensor.errors(of: $0, as: .bf16, runs: 0..<4) }
    let cut = bytes.withUnsafeBytes { source in
      let middle = 2 * 2 * FourBitTensor.run
      return tensor.errors(
        of: UnsafeRawBufferPointer(rebasing: source[..<middle]), as: .bf16, runs: 0..<2)
        + tensor.errors(
          of: UnsafeRawBufferPointer(rebasing: source[middle...]), as: .bf16, runs: 2..<4)
    }
    #expect(whole == cut)
    let total = ReconstructionError.total(whole)
    let decoded = ElementType.f32.widened(tensor.decoded(0..<count, as: .f32))
    let differences = zip(ElementType.bf16.widened(bytes), decoded).map { Double($0 - $1) }
    let squared = differences.reduce(0) { $0 + $1 * $1 }
    #expect(total.elements == count && total.largest == differences.map(abs).max())
    #expect(abs(total.rootMeanSquare - (squared / Double(count)).squareRoot()) < 1e-12)
  }

  /// Normal weights lose what bitsandbytes makes them lose, by block size.
  @Test func relativeErrorOfNormalWeights() throws {
    var random = SplitMix64(seed: 43)
    let values = (0..<65536).map { _ in
      // Box and Muller's method.
      let radius = (-2 * log(Double.random(in: 0..<1, using: &random).nextUp)).squareRoot()
      return Float(radius * cos(2 * .pi * Double.random(in: 0..<1, using: &random)))
    }
    for (size, expected) in [(32, 0.0873), (64, 0.0919), (256, 0.0987), (4096, 0.11)] {
      let tensor = try FourBitTensor(
        quantizing: values, format: FourBitFormat(blockSize: size), doubleQuantization: nil)
      let runs = ElementType.f32.rounded(values).withUnsafeBytes {
        tensor.errors(of: $0, as: .f32, runs: 0..<16)
      }
      #expect(abs(ReconstructionError.total(runs).relative - expected) < 0.0015, "\(size)")
    }
  }

  @Test func rowsOfAnInt8Matrix() throws {
    var random = SplitMix64(seed: 44)
    let bytes = ElementType.f32.rounded(random.floats(5 * 40, 1))
    let (tensor, errors) = try bytes.withUnsafeBytes {
      let tensor = try Int8Tensor(quantizing: $0, as: .f32, rows: 5, columns: 40)
      return (tensor, tensor.errors(of: $0, as: .f32, rows: 0..<5))
    }
    #expect(errors.count == 5)
    for (error, scale) in zip(errors, tensor.scales) {
      // Half a step, and the rounding of the element to f16.
      #expect(error.largest > 0 && error.largest <= Double(scale) / 254 + 0x1p-11)
    }
    #expect(ReconstructionError().rootMeanSquare == 0 && ReconstructionError().relative == 0)
  }
}
