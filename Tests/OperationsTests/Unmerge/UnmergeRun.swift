import Foundation
import Safetensors
import Testing

@testable import Operations

/// A merge with a record and its way back, in a folder of the test's.
struct UnmergeRun {
  let scratch: Scratch
  let base: String
  let adapters: [WeightedAdapter]

  init(_ base: String, _ adapters: [WeightedAdapter], in scratch: Scratch) {
    self.base = base
    self.adapters = adapters
    self.scratch = scratch
  }

  var merged: String { scratch.file("merged") }
  var back: String { scratch.file("back") }
  var record: String { merged + "/undo.safetensors" }

  @discardableResult
  func merge(_ change: (inout MergeRequest) -> Void = { _ in }) throws -> MergeReport {
    var request = MergeRequest(base: base, adapters: adapters, output: merged, threads: 2)
    request.recordsUndo = true
    change(&request)
    return try MergeOperation(MergePlan(request)).run()
  }

  @discardableResult
  func unmerge(_ change: (inout UnmergeRequest) -> Void = { _ in }) throws -> UnmergeReport {
    var request = UnmergeRequest(merged: merged, adapters: adapters, output: back, threads: 2)
    change(&request)
    return try UnmergeOperation(UnmergePlan(request)).run()
  }
}

/// What is different between two folders, and where: nothing, when they are the same.
func differences(_ a: String, _ b: String) throws -> [String] {
  let (first, second) = (try readFolder(a), try readFolder(b))
  return Set(first.keys).union(second.keys).sorted().filter { first[$0] != second[$0] }
}

/// Changes one byte of a file.
func flip(_ path: String, at offset: Int, _ bits: UInt8 = 1) throws {
  let file = try FileHandle(forUpdating: URL(filePath: path))
  try file.seek(toOffset: UInt64(offset))
  let byte = try #require(file.read(upToCount: 1)?.first)
  try file.seek(toOffset: UInt64(offset))
  try file.write(contentsOf: Data([byte ^ bits]))
  try file.close()
}

/// A small generator with a fixed sequence.
struct FixedNumbers {
  var state: UInt64

  /// In [-1, 1).
  mutating func float() -> Float {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    z ^= z >> 31
    return Float(Int64(bitPattern: z) >> 40) * 0x1p-23
  }

  mutating func floats(_ count: Int, _ size: Float) -> [Float] {
    (0..<count).map { _ in size * float() }
  }
}
