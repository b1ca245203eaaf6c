import Safetensors

/// A model that is being written: a folder, or a single `.safetensors` file.
struct ModelOutput {
  /// Where to write the files.
  let folder: String
  /// The output is a folder; otherwise it is the one file.
  let isFolder: Bool
  private let output: AtomicOutput
  /// Where a single file is written before it takes its place.
  private let scratch: AtomicOutput?

  /// - Parameter files: how many weight files there will be.
  init(at path: String, files: Int, replacing: Bool) throws {
    isFolder = !path.hasSuffix(".safetensors")
    if isFolder {
      output = try AtomicOutput(.folder, at: path, replacing: replacing)
      scratch = nil
      folder = output.temporaryPath
    } else {
      guard files == 1 else { throw MergeError.outputMustBeFolder(path: path) }
      output = try AtomicOutput(.file, at: path, replacing: replacing)
      let scratch = try AtomicOutput(.folder, at: output.temporaryPath + ".folder")
      self.scratch = scratch
      folder = scratch.temporaryPath
    }
  }

  /// Makes the output appear.
  ///
  /// - Parameter file: the name under which a single file was written.
  func commit(_ file: String) throws {
    if let scratch {
      try FileSystem.moveFile(
        FileSystem.join(scratch.temporaryPath, file), over: output.temporaryPath)
      scratch.discard()
    }
    try output.commit()
  }
}
