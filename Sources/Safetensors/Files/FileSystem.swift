#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// Paths, folders and renaming.
public enum FileSystem {
  // MARK: - Paths

  /// The part of `path` behind its last slash.
  public static func name(of path: String) -> String {
    let trimmed = withoutTrailingSlashes(path)
    return trimmed.lastIndex(of: "/").map { String(trimmed[trimmed.index(after: $0)...]) }
      ?? trimmed
  }

  /// The folder that holds `path`.
  public static func parent(of path: String) -> String {
    let trimmed = withoutTrailingSlashes(path)
    guard let slash = trimmed.lastIndex(of: "/") else { return "." }
    return slash == trimmed.startIndex ? "/" : withoutTrailingSlashes(String(trimmed[..<slash]))
  }

  public static func join(_ folder: String, _ name: String) -> String {
    folder.hasSuffix("/") ? folder + name : folder + "/" + name
  }

  private static func withoutTrailingSlashes(_ path: String) -> String {
    var path = path
    while path.utf8.count > 1, path.utf8.last == UInt8(ascii: "/") { path.removeLast() }
    return path
  }

  /// Whether something, if only a dangling link, has this name.
  public static func exists(_ path: String) -> Bool {
    var status = stat()
    return lstat(path, &status) == 0
  }

  /// Whether `path` leads to something, through links.
  public static func isReachable(_ path: String) -> Bool {
    kind(of: path) != nil
  }

  public static func isFolder(_ path: String) -> Bool {
    kind(of: path) == S_IFDIR
  }

  public static func isRegularFile(_ path: String) -> Bool {
    kind(of: path) == S_IFREG
  }

  /// The type bits of what `path` leads to, through links; nil when it leads nowhere.
  private static func kind(of path: String) -> mode_t? {
    var status = stat()
    return stat(path, &status) == 0 ? status.st_mode & S_IFMT : nil
  }

  /// The names in a folder, sorted, without `.` and `..`.
  public static func names(in folder: String) throws(FileError) -> [String] {
    guard let directory = opendir(folder) else {
      throw FileError(.list, path: folder, errno: errno)
    }
    defer { closedir(directory) }
    var names: [String] = []
    while let entry = readdir(directory) {
      let name = withUnsafePointer(to: &entry.pointee.d_name) {
        $0.withMemoryRebound(to: CChar.self, capacity: MemoryLayout.size(ofValue: $0.pointee)) {
          String(cString: $0)
        }
      }
      if name != ".", name != ".." { names.append(name) }
    }
    return names.sorted { $0.precedesByUTF8($1) }
  }

  // MARK: - Making and removing

  /// The path to write to for an output called `path`: what it links to, where it is a link to
  /// something, so that the link stays.
  static func outputPath(_ path: String) throws(FileError) -> String {
    let path = withoutTrailingSlashes(path)
    let name = name(of: path)
    guard !name.isEmpty, !["/", ".", ".."].contains(name) else {
      throw FileError(.create, path: path, errno: EINVAL)
    }
    var status = stat()
    guard lstat(path, &status) == 0, status.st_mode & S_IFMT == S_IFLNK,
      let resolved = realpath(path, nil)
    else { return path }
    defer { free(resolved) }
    return String(cString: resolved)
  }

  /// Makes an empty file or folder where there is nothing, with the modes that the umask allows.
  static func create(_ kind: AtomicOutput.Kind, at path: String) throws(FileError) {
    switch kind {
    case .folder: _ = try System.retrying(.create, path) { Int(mkdir(path, 0o777)) }
    case .file:
      let descriptor = try System.retrying(.create, path) {
        Int(open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o666))
      }
      close(Int32(descriptor))
    }
  }

  /// Removes a file, or a folder with all it holds; follows no link. What resists is left.
  static func removeTree(_ path: String) {
    if unlink(path) == 0 || errno == ENOENT { return }
    // Another thread may be adding files until it notices: what it added is removed on the next round.
    for _ in 0..<3 {
      for name in (try? names(in: path)) ?? [] { removeTree(join(path, name)) }
      if rmdir(path) == 0 || errno != ENOTEMPTY { return }
    }
  }

  /// Waits until a file, or a folder with all it holds (`deep`), is on the disk. Links are not
  /// followed.
  static func sync(_ path: String, isFolder: Bool, deep: Bool = true) throws(FileError) {
    if isFolder, deep {
      for name in try names(in: path) {
        let member = join(path, name)
        var status = stat()
        guard lstat(member, &status) == 0 else { continue }
        let kind = status.st_mode & S_IFMT
        if kind == S_IFDIR || kind == S_IFREG { try sync(member, isFolder: kind == S_IFDIR) }
      }
    }
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    // A folder that may be written to and not listed cannot be synced; nor can some file systems'
    // folders, which is EINVAL.
    if descriptor == -1, isFolder, errno == EACCES { return }
    guard descriptor != -1 else { throw FileError(.sync, path: path, errno: errno) }
    defer { close(descriptor) }
    if fsync(descriptor) != 0, !(isFolder && errno == EINVAL) {
      throw FileError(.sync, path: path, errno: errno)
    }
  }

  // MARK: - Renaming

  /// Gives the file or folder `path` the name `target`.
  ///
  /// - Returns: where what stood there before is now, to be removed.
  static func move(
    _ path: String, to target: String, replacing: Bool
  ) throws(FileError) -> String? {
    switch System.rename(path, target, .exclusive) {
    case 0: return nil
    case EEXIST where replacing: return try replace(target, with: path)
    case ENOSYS:
      if !exists(target) {
        _ = try System.retrying(.rename, target) { Int(rename(path, target)) }
        return nil
      }
      guard replacing else { throw .alreadyExists(target) }
      return try replace(target, with: path)
    case EEXIST: throw .alreadyExists(target)
    case let failure: throw FileError(.rename, path: target, errno: failure)
    }
  }

  private static func replace(_ target: String, with path: String) throws(FileError) -> String? {
    switch System.rename(path, target, .exchange) {
    case 0: return path
    case ENOSYS: return try replaceInSteps(target, with: path)
    case let failure: throw FileError(.rename, path: target, errno: failure)
    }
  }

  /// Replaces without `exchange`: files by one rename; where a folder is involved in two steps, the
  /// first undone when the second fails.
  static func replaceInSteps(
    _ target: String, with path: String
  ) throws(FileError) -> String? {
    if !isFolder(target), !isFolder(path) {
      _ = try System.retrying(.rename, target) { Int(rename(path, target)) }
      return nil
    }
    let aside = path + ".old"
    _ = try System.retrying(.rename, target) { Int(rename(target, aside)) }
    do throws(FileError) {
      _ = try System.retrying(.rename, target) { Int(rename(path, target)) }
    } catch {
      _ = rename(aside, target)
      throw error
    }
    return aside
  }
}
