/// A model's weights: one safetensors file, or an index and its shards.
public struct Checkpoint: Sendable {
  public struct Tensor: Equatable, Sendable {
    public let info: TensorInfo
    /// The place of its file in `shards`.
    public let shard: Int

    public var name: String { info.name }
  }

  /// As it was passed.
  public let path: String
  /// The folder of the weight files.
  public let folder: String
  /// The weight files, by name.
  public let shards: [SafetensorsFile]
  /// The files' names, relative to `folder`.
  public let shardNames: [String]
  /// Shard by shard, in storage order.
  public let tensors: [Tensor]
  /// The content of the `.safetensors.index.json` that the model was opened by; nil for a single file.
  public let index: JSONValue?
  /// The name of that file.
  public let indexName: String?
  public let problems: [CheckpointProblem]
  private let positions: [ExactString: Int]

  /// Opens a model: a `.safetensors` file, an index, or a folder that holds either.
  ///
  /// All headers are read, no tensor.
  ///
  /// - Parameter tolerant: report contradictions between index and shards as `problems` instead of
  ///   throwing them; of a tensor that is in several shards the first counts.
  public init(path: String, tolerant: Bool = false) throws(CheckpointError) {
    let location = try CheckpointLocation(path)
    self.path = path
    folder = location.folder
    var problems = location.problems
    var map: ShardMap?
    switch location.weights {
    case .file(let name): shardNames = [name]
    case .index(let name):
      let read = try ShardMap(folder: location.folder, name: name)
      shardNames = read.shardNames
      problems += read.problems
      map = read
    }
    index = map?.json
    indexName = map?.name
    shards = try Self.open(shardNames, in: location.folder)

    var tensors: [Tensor] = []
    var positions: [ExactString: Int] = [:]
    for (number, shard) in shards.enumerated() {
      for info in shard.header.tensors {
        if let first = positions[ExactString(info.name)] {
          let names = [shardNames[tensors[first].shard], shardNames[number]]
          problems.append(.duplicateTensor(tensor: info.name, shards: names))
        } else {
          positions[ExactString(info.name)] = tensors.count
          tensors.append(Tensor(info: info, shard: number))
        }
      }
    }
    self.tensors = tensors
    self.positions = positions
    if let map {
      problems += map.problems(
        tensors: tensors, shardNames: shardNames, positions: positions)
    }
    self.problems = problems
    let fatal = problems.filter(\.isFatal)
    if !tolerant, !fatal.isEmpty { throw .inconsistent(path: path, fatal) }
  }

  /// The tensor `name`; nil when there is none.
  public subscript(name: String) -> Tensor? {
    positions[ExactString(name)].map { tensors[$0] }
  }

  /// The file that holds `tensor`.
  public func file(of tensor: Tensor) -> SafetensorsFile { shards[tensor.shard] }

  /// All bytes of `tensor`.
  public func read(_ tensor: Tensor) throws(SafetensorsError) -> [UInt8] {
    try file(of: tensor).read(tensor.info)
  }

  private static func open(
    _ names: [String], in folder: String
  ) throws(CheckpointError) -> [SafetensorsFile] {
    let missing = names.filter { !FileSystem.isReachable(FileSystem.join(folder, $0)) }
    guard missing.isEmpty else { throw .missingShards(folder: folder, shards: missing) }
    var shards: [SafetensorsFile] = []
    for name in names {
      let path = FileSystem.join(folder, name)
      do throws(SafetensorsError) {
        shards.append(try SafetensorsFile(path: path))
      } catch {
        if case .file(let error) = error { throw .file(error) }
        throw .shard(path: path, error)
      }
    }
    return shards
  }
}
