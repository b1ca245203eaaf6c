import Foundation
import Safetensors
import Testing

@testable import Kernels

/// The 8-bit optimiser against bitsandbytes, and against itself.
extension KernelPaths {
  @Suite struct AdamW8bitTests {
    private let pool = ThreadPool(count: 2)

    private struct Fixture {
      let file: SafetensorsFile

      init() throws {
        let package = URL(filePath: #filePath).appending(path: "../../../..").standardized
        file = try SafetensorsFile(
          path: package.appending(path: "Fixtures/optimizers/adamw8bit.safetensors").path)
      }

      func bytes(_ name: String) throws -> [UInt8] { try file.read(file.header.tensor(name)) }
      func reals(_ name: String) throws -> [Float] { ElementType.f32.widened(try bytes(name)) }
    }

    /// Six steps end with bitsandbytes' codes and scales, and with its values but for the rounding of a
    /// square root.
    @Test func bitsandbytes() throws {
      let fixture = try Fixture()
      try KernelPaths.each { path in
        let parameters = TrainableParameters<Float>([
          (name: "large", shape: [33, 32]), (name: "small", shape: [96]),
        ])
        let optimizer = try AdamW8bit(
          parameters, groups: StepGroup.groups(of: parameters, weightDecay: 0.01), smallest: 1000)
        for entry in parameters.entries {
          for (index, value) in zip(entry.range, try fixture.reals("\(entry.name).0")) {
            parameters.values.values[index] = value
          }
        }
        for step in 1...6 {
          for entry in parameters.entries {
            let gradient = try fixture.reals("\(entry.name).gradient.\(step)")
            for (index, value) in zip(entry.range, gradient) {
              parameters.gradients.values[index] = value
            }
          }
          optimizer.step(parameters, learningRate: 1e-2, pool: pool)
          let large = try fixture.reals("large.\(step)")
          for (index, value) in large.enumerated() {
            let found = parameters.values.values[index]
            // torch's square root, MKL's, is one unit beside the nearest for one number in 170.
            #expect(
              abs(found - value) <= max(value.ulp, 1e-8),
              "\(path) \(step) \(index): \(found.hex) \(value.hex)")
          }
          // Without blocks the operations of PyTorch are followed, which bitsandbytes orders otherwise.
          for (index, value) in try fixture.reals("small.\(step)").enumerated() {
            let found = parameters.values.values[large.count + index]
            #expect(abs(found - value) < 1e-6, "\(path) \(step) \(index): \(found) \(value)")
          }
        }
        let state = optimizer.state.values
        #expect(state["state1"] == .bytes(try fixture.bytes("state1")), "\(path)")
        #expect(state["state2"] == .bytes(try fixture.bytes("state2")), "\(path)")
        #expect(state["absmax1"] == .real(try fixture.reals("absmax1")), "\(path)")
        #expect(state["absmax2"] == .real(try fixture.reals("absmax2")), "\(path)")
      }
    }

    /// Parameters with gradients that differ from step to step.
    private func parameters(_ counts: [Int]) -> TrainableParameters<Float> {
      let parameters = TrainableParameters<Float>(
        counts.enumerated().map { (name: "t\($0)", shape: [$1]) })
      var random = SplitMix64(seed: 4)
      for index in 0..<parameters.values.count {
        parameters.values.values[index] = random.float(1)
      }
      return parameters
    }

    private func step(
      _ optimizer: any Optimizer, _ parameters: TrainableParameters<Float>, _ step: Int,
      threads: Int = 1
    ) {
      var random = SplitMix64(seed: UInt64(100 + step))
      for index in 0..<parameters.gradients.count {
        parameters.gradients.values[index] = random.float(1)
      }
      optimizer.step(parameters, learningRate: 1e-3, pool: ThreadPool(count: threads))
    }

    private static let counts = [5000, 300, 4096, 1]

    private func optimizer(
      _ eight: Bool, _ parameters: TrainableParameters<Float>, paging: String? = nil
    ) throws -> any Optimizer {
      let groups = StepGroup.groups(of: parameters, weightDecay: 0.1)
      if eight { return try AdamW8bit(parameters, groups: groups, paging: paging) }
      return try AdamW(count: parameters.values.count, groups: groups, paging: paging)
    }

    /// The state in a file gives the bits of the state in memory, for any number of threads.
    @Test(arguments: [false, true]) func paged(eight: Bool) throws {
      let folder = FileManager.default.temporaryDirectory.path
      let (plain, paged) = (parameters(Self.counts), parameters(Self.counts))
      let inMemory = try optimizer(eight, plain)
      let inFile = try optimizer(eight, paged, paging: folder)
      for number in 0..<4 {
        step(inMemory, plain, number)
        step(inFile, paged, number, threads: 3)
      }
      #expect(plain.values.values.map(\.bitPattern) == paged.values.values.map(\.bitPattern))
      #expect(inMemory.state == inFile.state)
    }

    /// A run that goes on from its state equals the one that was not interrupted; a reset one starts again.
    @Test(arguments: [false, true]) func restored(eight: Bool) throws {
      let whole = parameters(Self.counts)
      let first = try optimizer(eight, whole)
      for number in 0..<2 { step(first, whole, number) }
      let halfway = Array(whole.values.values)
      let state = first.state
      let later = parameters(Self.counts)
      _ = later.values.values.update(fromContentsOf: halfway)
      let second = try optimizer(eight, later)
      try second.restore(state)
      for number in 2..<4 {
        step(first, whole, number)
        step(second, later, number)
      }
      #expect(whole.values.values.map(\.bitPattern) == later.values.values.map(\.bitPattern))

      first.reset()
      #expect(first.state == (try optimizer(eight, whole)).state)
      #expect(throws: OptimizerError.self) {
        try first.restore(OptimizerState(steps: 1, values: [:]))
      }
    }

    /// The state is in fewer bytes: two codes for each number, and two scales for 256.
    @Test func size() throws {
      let parameters = parameters([8192])
      let state = try optimizer(true, parameters).state
      let bytes = state.values.values.reduce(0) { sum, values in
        switch values {
        case .real(let values): sum + 4 * values.count
        case .bytes(let values): sum + values.count
        }
      }
      #expect(bytes == 2 * 8192 + 2 * 4 * 32)
    }

    @Test func folderThatIsNotThere() {
      #expect(throws: OptimizerError.paging(folder: "/nowhere/at all", errno: ENOENT)) {
        try AdamW(count: 4, groups: [], paging: "/nowhere/at all")
      }
    }

    #if os(Linux)
      /// After a step the state's pages are not in the program's memory.
      @Test func pagesAreReleased() throws {
        let parameters = parameters([1 << 22])
        let before = try residentFilePages()
        let paged = try PagedBuffer(
          bytes: 64 << 20, folder: FileManager.default.temporaryDirectory.path)
        _ = paged.bytes.initializeMemory(as: UInt8.self, repeating: 3)
        #expect(try residentFilePages() > before + 12_000)
        paged.release()
        #expect(try residentFilePages() < before + 4_000)
        #expect(paged.bytes[12345] == 3)

        let optimizer = try optimizer(
          false, parameters, paging: FileManager.default.temporaryDirectory.path)
        step(optimizer, parameters, 0)
        #expect(try residentFilePages() < before + 4_000)
      }

      /// Pages of files in the program's memory, of 4 KiB.
      private func residentFilePages() throws -> Int {
        let status = try String(contentsOfFile: "/proc/self/status", encoding: .utf8)
        let kilobytes = status.split(separator: "\n").reduce(0) { sum, line in
          guard line.hasPrefix("RssFile:") || line.hasPrefix("RssShmem:") else { return sum }
          return sum + (line.split(whereSeparator: { !$0.isNumber }).first.flatMap { Int($0) } ?? 0)
        }
        return kilobytes / 4
      }
    #endif
  }
}
