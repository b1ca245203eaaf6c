/// A safetensors file with this header and body; `length` is stated instead of the header's own.
func file(_ header: [UInt8], _ body: [UInt8] = [], length: UInt64? = nil) -> [UInt8] {
  let length = length ?? UInt64(header.count)
  return (0..<8).map { UInt8(truncatingIfNeeded: length >> (8 * $0)) } + header + body
}

func file(_ header: String, _ body: [UInt8] = [], length: UInt64? = nil) -> [UInt8] {
  file(Array(header.utf8), body, length: length)
}

func zeros(_ count: Int) -> [UInt8] { [UInt8](repeating: 0, count: count) }

/// A header's entry for a tensor, from the text of its fields.
func entry(
  _ dtype: String = "I32", _ shape: String = "[2,2]", _ offsets: String = "[0,16]",
  _ more: String = ""
) -> String {
  "{\"dtype\":\"\(dtype)\",\"shape\":\(shape),\"data_offsets\":\(offsets)\(more)}"
}

/// A JSON object from keys and the texts of their values, alternating.
func object(_ members: String...) -> String {
  let entries = stride(from: 0, to: members.count, by: 2).map {
    "\"\(members[$0])\":\(members[$0 + 1])"
  }
  return "{" + entries.joined(separator: ",") + "}"
}

/// The little-endian bytes of f32 values.
func bytes(_ values: [Float]) -> [UInt8] {
  values.flatMap { value in (0..<4).map { UInt8(truncatingIfNeeded: value.bitPattern >> (8 * $0)) }
  }
}
