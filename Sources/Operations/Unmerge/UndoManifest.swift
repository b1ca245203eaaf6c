import Adapters
import Safetensors

/// What a record says of a merge: the JSON in its metadata (spec/undo-record.md, "Manifest").
struct UndoManifest: Sendable {
  struct Adapter: Sendable, Equatable {
    var identity: AdapterIdentity
    var weight: Double
  }

  /// How one tensor of the base comes back.
  struct Tensor: Sendable, Equatable {
    var name: String
    var coding: UndoCoding
    /// The tensor of the merged model that it is read from; nil for `.original`.
    var source: String?
    /// CRC-32 of its bytes.
    var checksum: UInt32
    /// CRC-32 of the source's bytes.
    var sourceChecksum: UInt32
    /// Bytes of the tensor in a chunk; the last one may have fewer.
    var chunkBytes = 0
  }

  /// A file and its size.
  struct File: Sendable, Equatable {
    var name: String
    var bytes: Int
  }

  /// In the order of the merge.
  var adapters: [Adapter]
  var unties: Bool
  var allowsUnused: Bool
  var baseIsResidual: Bool
  var ignoredSettings: [String]
  var base: Fingerprint
  var merged: Fingerprint
  /// The base's weight files.
  var shards: [File]
  /// Every tensor of the base.
  var tensors: [Tensor]
  /// Tensors of the merged model that no tensor of the base is read from, with the CRC-32 of their
  /// bytes.
  var others: [(name: String, checksum: UInt32)]
  /// Other files of the base's folder that the record holds.
  var files: [File]
  /// Files of the merged model's folder that the base's did not have.
  var dropped: [String]

  // MARK: - Writing

  var text: String {
    var tensorObject = JSONObject()
    for tensor in tensors {
      var entry: JSONObject = [
        "coding": .string(tensor.coding.rawValue), "crc32": .string(tensor.checksum.hexadecimal),
      ]
      if let source = tensor.source, source != tensor.name { entry["source"] = .string(source) }
      if tensor.coding == .candidates || tensor.coding == .difference {
        entry["merged_crc32"] = .string(tensor.sourceChecksum.hexadecimal)
      }
      if tensor.coding.hasChunks { entry["chunk"] = .int(tensor.chunkBytes) }
      tensorObject[tensor.name] = .object(entry)
    }
    var otherObject = JSONObject()
    for other in others { otherObject[other.name] = .string(other.checksum.hexadecimal) }
    func sizes(_ files: [File]) -> JSONValue {
      var object = JSONObject()
      for file in files { object[file.name] = .int(file.bytes) }
      return .object(object)
    }
    let object: JSONValue = [
      "adapters": .array(
        adapters.map {
          [
            "tensors": .string($0.identity.tensors.description),
            "configuration": .string($0.identity.configuration.hexadecimal),
            "weight": .double($0.weight),
          ]
        }),
      "untie": .bool(unties),
      "allow_unused": .bool(allowsUnused),
      "base_is_residual": .bool(baseIsResidual),
      "ignored_settings": .array(ignoredSettings.map { .string($0) }),
      "base": .string(base.description),
      "merged": .string(merged.description),
      "shards": sizes(shards),
      "tensors": .object(tensorObject),
      "others": .object(otherObject),
      "files": sizes(files),
      "dropped": .array(dropped.map { .string($0) }),
    ]
    return object.serialized(asciiOnly: false)
  }
}

// MARK: - Reading

extension UndoManifest {
  /// What is wrong with a manifest: the key.
  struct Malformed: Error {
    let key: String
  }

  init(_ text: String) throws {
    guard let json = try? JSONValue.parse(text), json.object != nil else {
      throw Malformed(key: "manifest")
    }
    func value<Value>(_ key: String, _ read: (JSONValue) throws -> Value?) throws -> Value {
      guard let found = json[key], let value = try read(found) else { throw Malformed(key: key) }
      return value
    }
    func list<Element>(
      _ key: String, _ read: (JSONValue) -> Element?
    ) throws -> [Element] {
      try value(key) { json in
        guard let array = json.array else { return nil }
        let elements = array.compactMap(read)
        return elements.count == array.count ? elements : nil
      }
    }
    func entries<Element>(
      _ key: String, _ read: (String, JSONValue) -> Element?
    ) throws -> [Element] {
      try value(key) { json in
        guard let object = json.object, object.duplicateKeys.isEmpty else { return nil }
        let elements = object.entries.compactMap { read($0.key, $0.value) }
        return elements.count == object.count ? elements : nil
      }
    }
    adapters = try list("adapters") { Adapter($0) }
    unties = try value("untie") { $0.bool }
    allowsUnused = try value("allow_unused") { $0.bool }
    baseIsResidual = try value("base_is_residual") { $0.bool }
    ignoredSettings = try list("ignored_settings") { $0.string }
    base = try value("base") { $0.string.flatMap { Fingerprint($0) } }
    merged = try value("merged") { $0.string.flatMap { Fingerprint($0) } }
    shards = try entries("shards", File.init)
    tensors = try entries("tensors") { Tensor($0, $1) }
    others = try entries("others") { name, json in json.checksum.map { (name, $0) } }
    files = try entries("files", File.init)
    dropped = try list("dropped") { $0.string.flatMap(Self.fileName) }
  }

  /// `name` where it is that of a file in a folder, and leads nowhere else.
  fileprivate static func fileName(_ name: String) -> String? {
    name.isEmpty || name == "." || name == ".." || name.utf8.contains(0) || name.contains("/")
      ? nil : name
  }
}

extension UndoManifest.Adapter {
  fileprivate init?(_ json: JSONValue) {
    guard let tensors = json["tensors"]?.string.flatMap({ Fingerprint($0) }),
      let configuration = json["configuration"]?.checksum,
      let weight = json["weight"]?.double, weight.isFinite
    else { return nil }
    self.init(
      identity: AdapterIdentity(tensors: tensors, configuration: configuration), weight: weight)
  }
}

extension UndoManifest.File {
  fileprivate init?(_ name: String, _ json: JSONValue) {
    guard let name = UndoManifest.fileName(name), let bytes = json.int, bytes >= 0 else {
      return nil
    }
    self.init(name: name, bytes: bytes)
  }
}

extension UndoManifest.Tensor {
  fileprivate init?(_ name: String, _ json: JSONValue) {
    guard let coding = json["coding"]?.string.flatMap(UndoCoding.init),
      let checksum = json["crc32"]?.checksum
    else { return nil }
    self.name = name
    self.coding = coding
    self.checksum = checksum
    source = coding == .original ? nil : json["source"]?.string ?? name
    sourceChecksum = checksum
    if coding == .candidates || coding == .difference {
      guard let found = json["merged_crc32"]?.checksum else { return nil }
      sourceChecksum = found
    }
    if coding.hasChunks {
      guard let bytes = json["chunk"]?.int, bytes > 0 else { return nil }
      chunkBytes = bytes
    }
  }
}

extension JSONValue {
  /// A CRC-32 in eight hexadecimal digits.
  fileprivate var checksum: UInt32? {
    string.flatMap { $0.utf8.count == 8 ? UInt32($0, radix: 16) : nil }
  }
}
