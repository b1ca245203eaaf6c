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
          let differences = zip(element.widened(bytes), decoded).map { Double($0) - Double($1) }
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
    let differences = zip(ElementType.bf16.widened(bytes), decoded).map { Double($0) - Double($1) }
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
