/// How examples become batches.
public struct BatchSettings: Equatable, Sendable {
  /// Rows of a batch; the last of an epoch may have fewer.
  public var batchSize: Int
  /// Longer examples lose their end; with packing, also the length that rows are filled up to.
  public var sequenceLength: Int
  /// Whether several documents share a row.
  public var packs: Bool
  public var shuffles: Bool
  public var seed: UInt64
  public var paddingID: Int32
  /// The length of a batch becomes a multiple of this.
  public var paddingMultiple: Int

  public init(
    batchSize: Int, sequenceLength: Int, packs: Bool = false, shuffles: Bool = true,
    seed: UInt64 = 0, paddingID: Int32 = 0, paddingMultiple: Int = 1
  ) {
    self.batchSize = max(1, batchSize)
    self.sequenceLength = max(1, sequenceLength)
    self.packs = packs
    self.shuffles = shuffles
    self.seed = seed
    self.paddingID = paddingID
    self.paddingMultiple = max(1, paddingMultiple)
  }
}

/// The batches of a data set, epoch by epoch; the same for the same seed.
public struct BatchLoader: Sendable {
  public let dataset: any Dataset
  public let indices: [Int]
  public let settings: BatchSettings

  /// - Parameter indices: the examples to use; nil: all.
  public init(_ dataset: any Dataset, indices: [Int]? = nil, settings: BatchSettings) {
    self.dataset = dataset
    self.indices = indices ?? Array(0..<dataset.count)
    self.settings = settings
  }

  /// The batches of an epoch, from 0.
  public func batches(epoch: Int) -> BatchIterator {
    let order =
      settings.shuffles
      ? DataOrder.shuffled(indices, seed: settings.seed, epoch: epoch) : indices
    return BatchIterator(dataset: dataset, order: order, settings: settings)
  }

  /// How many batches an epoch has. With packing that depends on the lengths: the data is read once.
  public func batchCount(epoch: Int) throws(DataError) -> Int {
    guard settings.packs else {
      return (indices.count + settings.batchSize - 1) / settings.batchSize
    }
    var iterator = batches(epoch: epoch)
    var count = 0
    while try iterator.nextRows() != nil { count += 1 }
    return count
  }
}

/// Reads examples one by one and puts them together; holds one batch at a time.
public struct BatchIterator: Sendable {
  private let dataset: any Dataset
  private let order: [Int]
  private let settings: BatchSettings
  private var position = 0
  /// An example that was read and did not fit.
  private var pending: Example?

  init(dataset: any Dataset, order: [Int], settings: BatchSettings) {
    self.dataset = dataset
    self.order = order
    self.settings = settings
  }

  /// The next batch; nil at the end of the epoch.
  public mutating func next() throws(DataError) -> Batch? {
    guard let rows = try nextRows() else { return nil }
    return Batch(rows, paddingID: settings.paddingID, multiple: settings.paddingMultiple)
  }

  /// The documents of the next batch's rows.
  ///
  /// With packing, a document goes into the first row with room for it, and into a new row while the
  /// batch has fewer than its size; the first that fits nowhere begins the next batch.
  mutating func nextRows() throws(DataError) -> [[Example]]? {
    var rows: [[Example]] = []
    var room: [Int] = []
    while let example = try nextExample() {
      let isText = !example.ids.isEmpty && example.classLabel == nil
      if settings.packs, !isText { throw DataError.cannotPack }
      if settings.packs, let row = room.firstIndex(where: { $0 >= example.ids.count }) {
        rows[row].append(example)
        room[row] -= example.ids.count
      } else if rows.count < settings.batchSize {
        rows.append([example])
        room.append(settings.sequenceLength - example.ids.count)
      } else {
        pending = example
        break
      }
    }
    return rows.isEmpty ? nil : rows
  }

  private mutating func nextExample() throws(DataError) -> Example? {
    if let example = pending {
      pending = nil
      return example
    }
    guard position < order.count else { return nil }
    let example = try dataset.example(at: order[position]).truncated(to: settings.sequenceLength)
    position += 1
    return example
  }
}
