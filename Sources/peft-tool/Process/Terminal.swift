import Safetensors

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// The standard streams.
enum Terminal {
  static var errorIsTerminal: Bool { isatty(STDERR_FILENO) == 1 }

  /// A line to people: standard error.
  static func tell(_ line: String) { write(line + "\n", to: STDERR_FILENO) }

  /// Text without a line end, to people.
  static func tellPart(_ text: String) { write(text, to: STDERR_FILENO) }

  /// A result: standard output.
  static func put(_ text: String) { write(text + "\n", to: STDOUT_FILENO) }

  private static func write(_ text: String, to descriptor: Int32) {
    let bytes = Array(text.utf8)
    var done = 0
    while done < bytes.count {
      let count = bytes.withUnsafeBytes { buffer in
        #if canImport(Darwin)
          Darwin.write(descriptor, buffer.baseAddress.map { $0 + done }, bytes.count - done)
        #elseif canImport(Musl)
          Musl.write(descriptor, buffer.baseAddress.map { $0 + done }, bytes.count - done)
        #else
          Glibc.write(descriptor, buffer.baseAddress.map { $0 + done }, bytes.count - done)
        #endif
      }
      if count < 0, errno == EINTR { continue }
      guard count > 0 else { return }
      done += count
    }
  }
}

extension Terminal {
  /// A result as one JSON object.
  static func putJSON(_ value: JSONValue) {
    put(value.serialized(style: .python(indent: 2)))
  }
}
