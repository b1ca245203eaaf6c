import Kernels
import Safetensors
import Synchronization

/// A merged tensor with its changes taken away again, in f32, and rounded once: W0 up to the rounding of
/// the merge and of this.
///
/// For `W' = W + D` an element is at most half a unit in the last place of W' and half one of W0 away from
/// what it was.
final class ReversedTensor: TensorSource {
  private let tensor: MergedTensor
  private let pipeline = Mutex<MergePipeline?>(nil)
  /// All rows, where they can only be had together.
  private let whole = Mutex<[UInt8]>([])

  /// - Parameter tensor: the merge onto the rows of W'.
  init(_ tensor: MergedTensor) {
    self.tensor = tensor
  }

  private var rowBytes: Int { tensor.shape.columns * tensor.element.size }

  func open(_ workspace: Workspace) throws {
    let pipeline: MergePipeline
    do {
      pipeline = try tensor.pipelineWithoutBase()
    } catch is BaseNeeded {
      throw tensor.notReversible(.changeNeedsBase)
    }
    if pipeline.needsWholeMatrix {
      var bytes = [UInt8](repeating: 0, count: tensor.shape.rows * rowBytes)
      try bytes.withUnsafeMutableBytes {
        try reverse(0..<tensor.shape.rows, pipeline, into: $0, workspace)
      }
      whole.withLock { $0 = bytes }
    }
    self.pipeline.withLock { $0 = pipeline }
  }

  func fill(
    _ output: UnsafeMutableRawBufferPointer, range: Range<Int>, workspace: Workspace
  ) throws {
    guard let pipeline = pipeline.withLock({ $0 }), !range.isEmpty else { return }
    if pipeline.needsWholeMatrix {
      whole.withLock { bytes in
        bytes.withUnsafeBytes {
          output.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[range]))
        }
      }
      return
    }
    let granularity = pipeline.rowGranularity
    let wanted = max(1, (1 << 17) / max(1, tensor.shape.columns))
    let height = max(granularity, wanted / granularity * granularity)
    let first = range.lowerBound / rowBytes / granularity * granularity
    let end = (range.upperBound + rowBytes - 1) / rowBytes
    for start in stride(from: first, to: end, by: height) {
      let aligned = (end + granularity - 1) / granularity * granularity
      let rows = start..<min(start + height, aligned, tensor.shape.rows)
      let bytes = workspace.bytes(.merged, count: rows.count * rowBytes)
      try reverse(rows, pipeline, into: bytes, workspace)
      output.copyOverlap(range, from: bytes, at: start * rowBytes)
    }
  }

  func close(checksum: UInt32) throws {
    pipeline.withLock { $0 = nil }
    whole.withLock { $0 = [] }
  }

  private func reverse(
    _ rows: Range<Int>, _ pipeline: MergePipeline, into output: UnsafeMutableRawBufferPointer,
    _ workspace: Workspace
  ) throws {
    let stored = workspace.bytes(.base, count: rows.count * rowBytes)
    try tensor.base.read(rows, into: stored, workspace: workspace)
    let band = RowBand(
      rows: rows, columns: tensor.shape.columns,
      values: workspace.floats(.band, count: rows.count * tensor.shape.columns))
    tensor.element.widen(from: UnsafeRawBufferPointer(stored), to: band.values)
    do {
      try pipeline.reverse(band, element: tensor.element, workspace: workspace)
    } catch let reason as UndoError.Reason {
      throw tensor.notReversible(reason)
    }
    var statistics = [RowStatistics](repeating: RowStatistics(), count: rows.count)
    statistics.withUnsafeMutableBufferPointer {
      MergeRows.storeGeneral(
        band, stored: UnsafeRawBufferPointer(stored), element: tensor.element, into: output,
        statistics: $0)
    }
  }
}

extension UndoError.Reason: Error {}

extension MergedTensor {
  /// What cannot be reversed.
  fileprivate func notReversible(_ reason: UndoError.Reason) -> UndoError {
    let methods = changes.compactMap { change in
      switch change {
      case .weight(let module, _, _), .bias(let module, _, _, _):
        module.module.method.descriptor.title
      case .tokenRows, .replacement: nil
      }
    }
    return .notReversible(tensor: name, method: methods.first ?? "", reason: reason)
  }
}
