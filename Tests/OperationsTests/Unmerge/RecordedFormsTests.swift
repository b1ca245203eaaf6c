import Kernels
import Testing

@testable import Operations

/// A change of any form, made up.
private struct MadeUpdate: WeightUpdate {
  var form: UpdateForm
  var dependence: BaseDependence
  var rows = 96
  var columns = 1000
  var rowGranularity = 1
  /// Reads the base before it knows D.
  var reads = false
  var isPrepared = false

  func addDelta(to delta: RowBand, scale: Float) {
    for row in delta.rows {
      for column in 0..<columns where (row + column) % 7 != 0 {
        delta[row][column].addProduct(scale, Float((row * 31 + column * 17) % 101 - 50) * 1e-4)
      }
    }
  }

  func fillFactors(
    base: RowBand, delta: RowBand, factors: UnsafeMutableBufferPointer<Float>
  ) {
    let count = form == .scaled(.perRow) ? base.rows.count : columns
    for at in 0..<(form == .scaled(.perElement) ? base.rows.count * columns : count) {
      let index = form == .scaled(.perRow) ? base.rows.lowerBound + at : at % columns
      factors[at] = 1 + Float(index % 13 - 6) * 0.01
      if dependence == .factors, form == .scaled(.perRow) {
        factors[at] += base[base.rows.lowerBound + at].reduce(0) { $0 + abs($1) } * 1e-6
      }
    }
  }

  func transform(_ band: RowBand, base: RowBand) {
    for row in band.rows {
      for column in stride(from: 0, to: columns - 1, by: 2) {
        let (a, b) = (band[row][column], band[row][column + 1])
        (band[row][column], band[row][column + 1]) = (0.8 * a - 0.6 * b, 0.6 * a + 0.8 * b)
      }
    }
  }

  func prepared(reading base: any RowSource) throws -> any WeightUpdate {
    if reads { _ = try base.readAll() }
    var prepared = self
    prepared.isPrepared = true
    return prepared
  }
}

private struct HeldRows: RowSource {
  let rows: Int
  let columns: Int
  let values: [Float]

  func read(into band: RowBand) {
    _ = band.values.update(
      from: values[band.rows.lowerBound * columns..<band.rows.upperBound * columns])
  }
}

/// Every form of change, noted while it is merged in bands and brought back chunk by chunk.
@Suite struct RecordedFormsTests {
  struct Case: CustomTestStringConvertible {
    var form: UpdateForm
    var dependence = BaseDependence.none
    var granularity = 1
    var reads = false
    var weight = 1.0
    var coding = UndoCoding.candidates
    var storesFactors = false

    var testDescription: String { "\(form) \(dependence) \(granularity) \(reads) \(weight)" }
  }

  static let cases = [
    Case(form: .additive), Case(form: .additive, weight: -2.5),
    Case(form: .additive, granularity: 24), Case(form: .additive, granularity: .max),
    Case(form: .additive, reads: true, coding: .difference),
    Case(form: .scaled(.perRow)), Case(form: .scaled(.perColumn)), Case(form: .scaled(.perElement)),
    Case(form: .scaled(.perElement), granularity: .max),
    Case(form: .scaled(.perRow), dependence: .factors, storesFactors: true),
    Case(form: .scaled(.perRow), dependence: .factors, granularity: .max, storesFactors: true),
    Case(form: .scaled(.perColumn), dependence: .factors, reads: true, storesFactors: true),
    Case(form: .scaled(.perElement), dependence: .factors, coding: .difference),
    Case(form: .scaled(.perRow), dependence: .change, coding: .difference),
    Case(form: .scaled(.perRow), reads: true, coding: .difference),
    Case(form: .scaled(.perRow), weight: 0.5, coding: .difference),
    Case(form: .general, coding: .difference),
    Case(form: .general, granularity: 8, coding: .difference),
  ]

  @Test(arguments: cases)
  func comesBack(_ form: Case) throws {
    let update = MadeUpdate(
      form: form.form, dependence: form.dependence, rowGranularity: form.granularity,
      reads: form.reads)
    let shape = MergedTensor.Shape(rows: update.rows, columns: update.columns)
    var random = FixedNumbers(state: 11)
    let element = ElementType.bf16
    var values = random.floats(update.rows * update.columns, 0.02)
    values[5] = -0.0
    values[6] = .infinity
    values[7] = .nan
    values[8] = 1e-40
    let stored = element.rounded(values)
    let rows = WatchedRows(
      HeldRows(rows: update.rows, columns: update.columns, values: element.widened(stored)))
    let store = ChunkStore()
    let recorder = TensorRecorder(name: "x", shape: shape, element: element, store: store)
    let pipeline = MergePipeline(
      [try MergeStep.update(update, weight: form.weight).prepared(reading: rows)], shape: shape,
      keepsChange: true)
    recorder.begin(pipeline, readsBase: rows.wasRead)

    // The merge, in bands of whole chunks.
    let workspace = Workspace()
    var merged = [UInt8](repeating: 0, count: stored.count)
    let rowBytes = update.columns * element.size
    let height = pipeline.needsWholeMatrix ? update.rows : recorder.rowsPerChunk
    #expect(height < update.rows || pipeline.needsWholeMatrix)
    for start in stride(from: 0, to: update.rows, by: height) {
      let band = start..<min(start + height, update.rows)
      let bytes = start * rowBytes..<band.upperBound * rowBytes
      var statistics = [RowStatistics](repeating: RowStatistics(), count: band.count)
      try merged.withUnsafeMutableBytes { merged in
        try stored.withUnsafeBytes { stored in
          let computed = try pipeline.compute(
            rows: band, stored: UnsafeRawBufferPointer(rebasing: stored[bytes]), element: element,
            workspace: workspace)
          let target = UnsafeMutableRawBufferPointer(rebasing: merged[bytes])
          statistics.withUnsafeMutableBufferPointer {
            computed.store(band, into: target, statistics: $0)
          }
          try recorder.record(
            computed, merged: UnsafeRawBufferPointer(target), chunksFrom: band,
            workspace: workspace)
        }
      }
    }
    let notes = try #require(recorder.notes)
    #expect(notes.coding == form.coding)
    #expect(notes.factors.isEmpty != form.storesFactors)
    #expect(merged != stored)

    let back = try restore(notes, merged: merged, update, weight: form.weight, shape, store)
    #expect(back == stored)
  }

  /// W0 from W', the notes and the update alone.
  private func restore(
    _ notes: TensorRecorder.Notes, merged: [UInt8], _ update: MadeUpdate, weight: Double,
    _ shape: MergedTensor.Shape, _ store: ChunkStore
  ) throws -> [UInt8] {
    let workspace = Workspace()
    let pipeline = MergePipeline(
      [.update(update, weight: weight)], shape: shape, keepsChange: true)
    let change = try RecordedChange(
      pipeline, shape: shape, factors: notes.factors.isEmpty ? nil : notes.factors,
      element: .bf16, rowsPerChunk: notes.chunkBytes / (shape.columns * 2), workspace: workspace)
    var back = [UInt8](repeating: 0, count: merged.count)
    for (index, place) in notes.chunks.enumerated() {
      let code = try store.read(place)
      let bytes = index * notes.chunkBytes..<min((index + 1) * notes.chunkBytes, merged.count)
      let rows = bytes.lowerBound / (2 * shape.columns)..<bytes.upperBound / (2 * shape.columns)
      let isDone = code.withUnsafeBytes { code in
        merged[bytes].withUnsafeBytes { merged in
          back.withUnsafeMutableBytes { back in
            let target = UnsafeMutableRawBufferPointer(rebasing: back[bytes])
            if notes.coding == .difference {
              return DifferenceCoding.decode(code, merged: merged, element: .bf16, into: target)
            }
            guard let changed = change.band(rows, workspace)?.changed(rows, merged: merged) else {
              return false
            }
            return CandidateCoding.decode(code, of: changed, into: target)
          }
        }
      }
      #expect(isDone)
    }
    return back
  }

  /// Many pieces, more than are held in memory.
  @Test func storeInAFile() throws {
    let scratch = try Scratch()
    let store = ChunkStore()
    store.useFile(scratch.file("partial"))
    let pieces = (0..<40).map { [UInt8](repeating: UInt8($0), count: 1 << 19) }
    let places = try pieces.map { piece in try piece.withUnsafeBytes { try store.append($0) } }
    #expect(scratch.names == ["partial"])
    for (piece, place) in zip(pieces, places).reversed() {
      #expect(try store.read(place) == piece)
    }
    try store.clear()
    #expect(scratch.names == [])
  }
}
