import Adapters
import Kernels
import Operations
import Safetensors

/// The examples of a run.
struct TrainingData {
  let training: BatchLoader
  /// nil: nothing to evaluate on.
  let evaluation: BatchLoader?

  /// Opens the files of `request`.
  ///
  /// - Parameters:
  ///   - longest: the longest text that the model takes.
  ///   - labels: the names of a classifier's classes.
  init(
    _ request: TrainingRequest, purpose: TransformerModel.Purpose, longest: Int?, labels: [String]
  ) throws {
    let length = min(
      request.sequenceLength ?? TrainingRequest.defaultLength, longest ?? Int.max)
    var tokenizer: PretrainedTokenizer?
    func open(_ path: String) throws -> any Dataset {
      if path.hasSuffix(".safetensors") { return try SafetensorsDataset(path: path) }
      if purpose == .imageClassify { throw TrainingError.imagesNeedTensors(path: path) }
      let known = try tokenizer ?? PretrainedTokenizer(folder: request.base)
      tokenizer = known
      return try JSONLinesDataset(
        path: path,
        encoder: RecordEncoder(
          tokenizer: known,
          task: purpose == .causalLM
            ? .causalLanguageModel : .classification(labels: labels),
          maximumLength: length))
    }
    let dataset = try open(request.data)
    var settings = BatchSettings(
      batchSize: request.batchSize, sequenceLength: length, packs: request.packs,
      shuffles: request.shuffles, seed: request.seed)
    settings.paddingID = tokenizer?.paddingID ?? 0
    var unshuffled = settings
    unshuffled.shuffles = false

    if let path = request.evaluationData {
      training = BatchLoader(dataset, settings: settings)
      evaluation = BatchLoader(try open(path), settings: unshuffled)
    } else if request.evaluationSplit > 0 {
      let heldOut = Int((Double(dataset.count) * request.evaluationSplit).rounded())
      let parts = DataOrder.split(count: dataset.count, heldOut: heldOut, seed: request.seed)
      guard !parts.training.isEmpty, !parts.evaluation.isEmpty else {
        throw TrainingError.split(examples: dataset.count, share: request.evaluationSplit)
      }
      training = BatchLoader(dataset, indices: parts.training, settings: settings)
      evaluation = BatchLoader(dataset, indices: parts.evaluation, settings: unshuffled)
    } else {
      training = BatchLoader(dataset, settings: settings)
      evaluation = nil
    }
  }
}

/// The batches of a run, epoch after epoch, and how far it has come.
struct BatchSource {
  /// Where the next batch is: known to a checkpoint.
  struct Position: Equatable, Sendable {
    var epoch = 0
    /// Batches of the epoch that were taken.
    var batches = 0
  }

  private let loader: BatchLoader
  private var iterator: BatchIterator
  private(set) var position = Position()

  /// Begins at `position`: what lies before it is read and passed over.
  init(_ loader: BatchLoader, at position: Position = Position()) throws(DataError) {
    self.loader = loader
    self.position = position
    iterator = loader.batches(epoch: position.epoch)
    for _ in 0..<position.batches { _ = try iterator.next() }
  }

  /// The next `count` batches that have something to predict; fewer at the end of an epoch.
  mutating func next(_ count: Int) throws(DataError) -> [Batch] {
    var result: [Batch] = []
    var emptyEpochs = 0
    while result.count < count {
      guard let batch = try iterator.next() else {
        position = Position(epoch: position.epoch + 1)
        iterator = loader.batches(epoch: position.epoch)
        guard result.isEmpty else { break }
        emptyEpochs += 1
        if emptyEpochs > 1 { break }
        continue
      }
      position.batches += 1
      if batch.lossCount > 0 { result.append(batch) }
    }
    return result
  }
}
