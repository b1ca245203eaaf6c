import Testing

@testable import Safetensors

@Suite struct ShardPlanTests {
  /// The sizes of the tensors of each shard.
  private func split(_ sizes: [Int], limit: Int) -> [[Int]] {
    let plan = ShardPlan(
      tensors: sizes.enumerated().map { ("t\($0.offset)", $0.element) }, maximumShardSize: limit)
    #expect(plan.totalSize == sizes.reduce(0, +))
    #expect(
      plan.shards.map(\.byteCount) == plan.shards.map { $0.tensors.reduce(0) { $0 + sizes[$1] } })
    return plan.shards.map { $0.tensors.map { sizes[$0] } }
  }

  @Test func theRule() {
    #expect(split([6, 6, 2, 6, 2, 2], limit: 10) == [[6], [6, 2], [6, 2, 2]])
    // A shard may be exactly full.
    #expect(split([5, 5, 1], limit: 10) == [[5, 5], [1]])
    // What is larger than a shard goes ahead of the one being filled.
    #expect(split([4, 11, 4, 4], limit: 10) == [[11], [4, 4], [4]])
    #expect(split([11, 12], limit: 10) == [[11], [12]])
    #expect(split([10], limit: 10) == [[10]])
    #expect(split([0, 0], limit: 0) == [[0, 0]])
    #expect(split([], limit: 10) == [[]])
  }

  @Test func theNames() {
    let one = ShardPlan(tensors: [("a", 5), ("b", 5)], maximumShardSize: 10)
    #expect(one.shards.map(\.name) == ["model.safetensors"])
    #expect(one.indexName == nil)
    let two = ShardPlan(tensors: [("a", 5), ("b", 6)], maximumShardSize: 10, stem: "adapter_model")
    #expect(
      two.shards.map(\.name) == [
        "adapter_model-00001-of-00002.safetensors", "adapter_model-00002-of-00002.safetensors",
      ])
    #expect(two.indexName == "adapter_model.safetensors.index.json")
    let many = ShardPlan(
      tensors: (0..<100_000).map { ("\($0)", 1) }, maximumShardSize: 1)
    #expect(many.shards.last?.name == "model-100000-of-100000.safetensors")
  }

  @Test func companionsStayTogether() {
    let tensors = [
      ("x.weight", 6), ("y.weight", 6), ("x.weight.absmax", 3), ("y.weight.absmax", 3), ("z", 1),
    ]
    let apart = ShardPlan(tensors: tensors, maximumShardSize: 10)
    #expect(apart.shards.map(\.tensors) == [[0], [1, 2], [3, 4]])
    let together = ShardPlan(tensors: tensors, maximumShardSize: 10) { name in
      name.hasSuffix(".absmax") ? String(name.dropLast(7)) : name
    }
    #expect(together.shards.map(\.tensors) == [[0, 2], [1, 3, 4]])
  }

  /// Expected: `json.dumps(index, indent=2, sort_keys=True) + "\n"`.
  @Test func theIndex() {
    let index = ShardPlan.index(
      shardOfTensor: [
        ("b.é", "model-00002-of-00002.safetensors"), ("a", "model-00001-of-00002.safetensors"),
        ("B", "model-00001-of-00002.safetensors"),
      ], totalSize: 236815, metadata: ["total_parameters": 205184])
    #expect(
      index == #"""
        {
          "metadata": {
            "total_parameters": 205184,
            "total_size": 236815
          },
          "weight_map": {
            "B": "model-00001-of-00002.safetensors",
            "a": "model-00001-of-00002.safetensors",
            "b.\u00e9": "model-00002-of-00002.safetensors"
          }
        }

        """#)
  }

  @Test(arguments: [
    ("5GB", 5_000_000_000), ("50GB", 50_000_000_000), ("1.5MB", 1_500_000), ("10KB", 10_000),
    ("1TB", 1_000_000_000_000), ("5gb", 5_000_000_000), ("2 MB", 2_000_000), ("0.0015KB", 1),
    ("300000", 300_000), ("12B", 12), ("1GiB", 1 << 30), ("0.5MiB", 1 << 19),
    ("1.1GB", 1_100_000_000),
  ])
  func sizes(text: String, bytes: Int) throws {
    #expect(try ByteSize.parse(text) == bytes)
  }

  @Test(arguments: [
    "", "GB", "5XB", "-5GB", "5e3GB", "nanGB", "0x5GB", "5 5GB", "1..2GB", "99999999TB",
  ])
  func noSizes(text: String) {
    #expect(throws: ByteSize.InvalidText(text: text)) { try ByteSize.parse(text) }
  }
}
