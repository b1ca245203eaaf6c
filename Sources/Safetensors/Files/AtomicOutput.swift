/// A file or a folder that appears under its name whole, or not at all.
///
/// It is made beside its target under a hidden temporary name, brought to the disk, and renamed. Until
/// then what stood at the target stays as it was; a failed command calls `discard()`, an interrupted
/// one `discardAll()`.
public final class AtomicOutput: Sendable {
  public enum Kind: Sendable { case file, folder }

  public let kind: Kind
  /// Where the output will be; a link at the end of the path given has been followed.
  public let target: String
  /// Where to write until `commit`. A file here exists and is empty; so is a folder.
  public let temporaryPath: String
  /// Whether something that stands at the target may be replaced.
  public let replacing: Bool

  /// Makes the temporary file or folder.
  ///
  /// - Throws: `EEXIST`, for `create`, when something stands at the target and `replacing` is false.
  public init(_ kind: Kind, at path: String, replacing: Bool = false) throws(FileError) {
    let target = try FileSystem.outputPath(path)
    if !replacing, FileSystem.exists(target) {
      throw .alreadyExists(path)
    }
    self.kind = kind
    self.target = target
    self.replacing = replacing
    temporaryPath = try LiveTemporaries.shared.create(kind, beside: target)
  }

  deinit { discard() }

  /// Brings the output to the disk and gives it its name.
  ///
  /// - Throws: `EEXIST` when something has come to stand at the target that may not be replaced;
  ///   `ENOENT` when the output has been discarded.
  public func commit() throws(FileError) {
    try FileSystem.sync(temporaryPath, isFolder: kind == .folder)
    try LiveTemporaries.shared.move(temporaryPath, to: target, replacing: replacing)
    try FileSystem.sync(FileSystem.parent(of: target), isFolder: true, deep: false)
  }

  /// Removes what has been written; the target stays as it was. Does nothing after `commit`.
  public func discard() {
    LiveTemporaries.shared.discard(temporaryPath)
  }

  /// Removes every output of this process that is not committed. For an interrupted command: what goes
  /// on writing in other threads meets `ENOENT`.
  public static func discardAll() {
    LiveTemporaries.shared.discardAll()
  }
}
