/// How a model's tensors are divided among files of a limited size.
///
/// The rule of huggingface_hub (`split_state_dict_into_shards_factory`): tensors are taken in the order
/// given; one that would push the shard beyond the limit begins the next; one that is by itself larger
/// than the limit becomes a shard of its own, ahead of the one being filled.
public struct ShardPlan: Equatable, Sendable {
  public struct Shard: Equatable, Sendable {
    public let name: String
    /// Indices into the tensors passed, ascending.
    public let tensors: [Int]
    public let byteCount: Int
  }

  public let shards: [Shard]
  /// The bytes of all tensors.
  public let totalSize: Int
  /// The name for the index; nil where one file holds all and needs none.
  public let indexName: String?

  /// - Parameters:
  ///   - tensors: in the order of the model.
  ///   - maximumShardSize: bytes of tensors in a shard; a shard may have exactly as many.
  ///   - stem: the files' common name.
  ///   - unit: tensors with the same unit share a shard, at the place of the first: the weight of a
  ///     quantized layer and its companions. By default each tensor is a unit.
  public init(
    tensors: [(name: String, byteCount: Int)], maximumShardSize: Int, stem: String = "model",
    unit: (String) -> String = { $0 }
  ) {
    var units: [(tensors: [Int], byteCount: Int)] = []
    var unitPositions: [ExactString: Int] = [:]
    for (i, tensor) in tensors.enumerated() {
      let key = ExactString(unit(tensor.name))
      let position = unitPositions[key] ?? units.count
      if position == units.count {
        unitPositions[key] = position
        units.append(([], 0))
      }
      units[position].tensors.append(i)
      units[position].byteCount += tensor.byteCount
    }

    var groups: [(tensors: [Int], byteCount: Int)] = []
    var current: (tensors: [Int], byteCount: Int) = ([], 0)
    for unit in units {
      if unit.byteCount > maximumShardSize {
        groups.append(unit)
        continue
      }
      if current.byteCount + unit.byteCount > maximumShardSize {
        groups.append(current)
        current = ([], 0)
      }
      current.tensors += unit.tensors
      current.byteCount += unit.byteCount
    }
    if !current.tensors.isEmpty || groups.isEmpty { groups.append(current) }

    totalSize = groups.reduce(0) { $0 + $1.byteCount }
    indexName = groups.count > 1 ? stem + CheckpointLocation.indexSuffix : nil
    shards = groups.enumerated().map { i, group in
      let number = Self.fiveDigits(i + 1) + "-of-" + Self.fiveDigits(groups.count)
      let name = groups.count > 1 ? "\(stem)-\(number)" : stem
      return Shard(
        name: name + CheckpointLocation.fileSuffix, tensors: group.tensors.sorted(),
        byteCount: group.byteCount)
    }
  }

  private static func fiveDigits(_ number: Int) -> String {
    let digits = String(number)
    return String(repeating: "0", count: max(0, 5 - digits.utf8.count)) + digits
  }

  /// The index of shards, as transformers writes it: indented by two, keys sorted, a newline at the end.
  ///
  /// - Parameters:
  ///   - shardOfTensor: tensor → file.
  ///   - totalSize: the bytes of all tensors.
  ///   - metadata: what `metadata` holds besides `total_size`.
  public static func index(
    shardOfTensor: [(tensor: String, shard: String)], totalSize: Int,
    metadata: JSONObject = JSONObject()
  ) -> String {
    var metadata = metadata
    metadata["total_size"] = .int(totalSize)
    let map = shardOfTensor.map { JSONObject.Entry(key: $0.tensor, value: .string($0.shard)) }
    let index: JSONValue = [
      "metadata": .object(metadata), "weight_map": .object(JSONObject(map)),
    ]
    return index.serialized(style: .python(indent: 2), sortKeys: true) + "\n"
  }
}
