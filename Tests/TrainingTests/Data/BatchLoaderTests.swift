import Testing

@testable import Training

@Suite struct BatchLoaderTests {
  /// The outputs that the generator's authors give for this seed.
  @Test func splitMix64() {
    var generator = SplitMix64(seed: 1_234_567)
    #expect(
      (0..<5).map { _ in generator.next() } == [
        6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423,
        4_593_380_528_125_082_431, 16_408_922_859_458_223_821,
      ])
    #expect((0..<1000).allSatisfy { _ in generator.next(below: 3) < 3 })
    #expect(generator.next(below: 1) == 0)
  }

  @Test func ordersArePermutationsThatDependOnSeedAndEpoch() {
    let indices = Array(0..<100)
    let first = DataOrder.shuffled(indices, seed: 1, epoch: 0)
    #expect(first.sorted() == indices)
    #expect(first == DataOrder.shuffled(indices, seed: 1, epoch: 0))
    #expect(first != DataOrder.shuffled(indices, seed: 1, epoch: 1))
    #expect(first != DataOrder.shuffled(indices, seed: 2, epoch: 0))
    // Fixed for all machines and times.
    #expect(DataOrder.shuffled(Array(0..<8), seed: 0, epoch: 0) == [7, 1, 0, 6, 3, 2, 4, 5])
  }

  @Test func heldOutExamplesAreNotTrainedOn() {
    let (training, evaluation) = DataOrder.split(count: 50, heldOut: 7, seed: 3)
    #expect(evaluation.count == 7 && training.count == 43)
    #expect((training + evaluation).sorted() == Array(0..<50))
    #expect(DataOrder.split(count: 50, heldOut: 7, seed: 3).evaluation == evaluation)
    #expect(DataOrder.split(count: 50, heldOut: 7, seed: 4).evaluation != evaluation)
    #expect(DataOrder.split(count: 3, heldOut: 9, seed: 0).training == [])
  }

  private static func text(_ first: Int32, _ count: Int) -> Example {
    let ids = (0..<Int32(count)).map { first + $0 }
    return Example(ids: ids, labels: ids)
  }

  @Test func rowsArePaddedToTheLongest() throws {
    let data = ExampleList([Self.text(10, 3), Self.text(20, 1), Self.text(30, 9)])
    let loader = BatchLoader(
      data,
      settings: BatchSettings(
        batchSize: 2, sequenceLength: 5, shuffles: false, paddingID: 7, paddingMultiple: 2))
    #expect(try loader.batchCount(epoch: 0) == 2)
    var iterator = loader.batches(epoch: 0)
    let first = try #require(try iterator.next())
    #expect(first.rows == 2 && first.length == 4 && !first.isPacked)
    #expect(first.ids == [10, 11, 12, 7, 20, 7, 7, 7])
    #expect(first.attentionMask == [1, 1, 1, 0, 1, 0, 0, 0])
    #expect(first.labels == [10, 11, 12, -100, 20, -100, -100, -100])
    #expect(first.positions == [0, 1, 2, 0, 0, 0, 0, 0])
    #expect(first.segments == [1, 1, 1, 0, 1, 0, 0, 0])
    #expect(first.lossCount == 2 && first.tokenCount == 4)
    let second = try #require(try iterator.next())
    #expect(second.ids == [30, 31, 32, 33, 34, 7])
    #expect(try iterator.next() == nil)
  }

  @Test func packedRowsKeepDocumentsApart() throws {
    let data = ExampleList([
      Self.text(10, 3), Self.text(20, 4), Self.text(30, 3), Self.text(40, 2), Self.text(50, 6),
    ])
    let loader = BatchLoader(
      data,
      settings: BatchSettings(batchSize: 2, sequenceLength: 6, packs: true, shuffles: false))
    var iterator = loader.batches(epoch: 0)
    let first = try #require(try iterator.next())
    #expect(first.isPacked && first.rows == 2 && first.length == 6)
    #expect(first.ids == [10, 11, 12, 30, 31, 32, 20, 21, 22, 23, 40, 41])
    #expect(first.positions == [0, 1, 2, 0, 1, 2, 0, 1, 2, 3, 0, 1])
    #expect(first.segments == [1, 1, 1, 2, 2, 2, 1, 1, 1, 1, 2, 2])
    #expect(first.labels == [10, 11, 12, -100, 31, 32, 20, 21, 22, 23, -100, 41])
    #expect(first.lossCount == 8)
    #expect(try iterator.next()?.ids == [50, 51, 52, 53, 54, 55])
    #expect(try iterator.next() == nil)
    #expect(try loader.batchCount(epoch: 0) == 2)
  }

  /// Every token of every document comes once, in order, whatever the lengths.
  @Test func packingLosesNothing() throws {
    var generator = SplitMix64(seed: 5)
    let examples = (0..<200).map { Self.text($0 * 100, Int(generator.next(below: 20)) + 1) }
    let loader = BatchLoader(
      ExampleList(examples),
      settings: BatchSettings(batchSize: 3, sequenceLength: 24, packs: true, seed: 9))
    var iterator = loader.batches(epoch: 2)
    var documents: [[Int32]] = []
    var count = 0
    var filled = 0
    while let batch = try iterator.next() {
      count += 1
      filled += batch.tokenCount
      #expect(batch.length <= 24 && batch.rows <= 3)
      for i in batch.ids.indices where batch.attentionMask[i] == 1 {
        if batch.positions[i] == 0 { documents.append([]) }
        documents[documents.count - 1].append(batch.ids[i])
      }
    }
    #expect(documents.sorted { $0[0] < $1[0] } == examples.map(\.ids))
    #expect(try loader.batchCount(epoch: 2) == count)
    #expect(Double(filled) / Double(count * 3 * 24) > 0.8)
  }

  @Test func classesCannotBePacked() throws {
    let loader = BatchLoader(
      ExampleList([Example(ids: [1], classLabel: 0)]),
      settings: BatchSettings(batchSize: 1, sequenceLength: 4, packs: true))
    var iterator = loader.batches(epoch: 0)
    #expect(throws: DataError.cannotPack) { _ = try iterator.next() }
  }

  @Test func paddingOfTheDataStaysMasked() {
    let batch = Batch(
      [[Example(ids: [0, 5, 6], labels: [-100, 5, 6], attentionMask: [0, 1, 1])]], paddingID: 0)
    #expect(batch.attentionMask == [0, 1, 1])
    #expect(batch.positions == [0, 1, 2])
    #expect(batch.segments == [0, 1, 1])
  }
}
