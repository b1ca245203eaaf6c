import Foundation
import Testing

@testable import Safetensors

@Suite struct AtomicOutputTests {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  private func write(_ text: String, _ path: String) throws {
    let file = try OutputFile(path: path)
    try file.write(Array(text.utf8), at: 0)
    try file.close()
  }

  private func mode(_ name: String) throws -> Int {
    let attributes = try FileManager.default.attributesOfItem(atPath: folder(name))
    return try #require(attributes[.posixPermissions] as? Int)
  }

  /// The process's mask, which can only be read by setting it.
  private static let mask: Int = {
    let mask = umask(0o022)
    umask(mask)
    return Int(mask)
  }()

  @Test func aFileAppearsWhole() throws {
    let output = try AtomicOutput(.file, at: folder("out"))
    #expect(output.temporaryPath.hasPrefix(folder(".out.partial-")))
    #expect(try folder.names().count == 1)
    try write("new", output.temporaryPath)
    #expect(!FileSystem.exists(folder("out")))
    try output.commit()
    output.discard()
    #expect(try folder.names() == ["out"])
    #expect(try folder.text(of: "out") == "new")
    #expect(try mode("out") == 0o666 & ~Self.mask)
  }

  @Test func aFolderAppearsWhole() throws {
    let output = try AtomicOutput(.folder, at: folder("out/"))
    try write("1", output.temporaryPath + "/a")
    #expect(mkdir(output.temporaryPath + "/sub", 0o777) == 0)
    try write("2", output.temporaryPath + "/sub/b")
    try output.commit()
    #expect(try folder.names() == ["out"])
    #expect(try folder.names(in: "out") == ["a", "sub"])
    #expect(try folder.text(of: "out/sub/b") == "2")
    #expect(try mode("out") == 0o777 & ~Self.mask)
  }

  @Test(arguments: [AtomicOutput.Kind.file, .folder])
  func whatExistsIsNotTouchedUnasked(kind: AtomicOutput.Kind) throws {
    try folder.write("old", to: "file")
    try folder.write("old", to: "folder/member")
    #expect(symlink("nowhere", folder("link")) == 0)
    for name in ["file", "folder", "link"] {
      let error = #expect(throws: FileError.self) { try AtomicOutput(kind, at: folder(name)) }
      #expect(error?.isAlreadyExists == true)
    }
    #expect(try folder.names() == ["file", "folder", "link"])
    #expect(try folder.text(of: "file") == "old")
  }

  @Test func everyKindReplacesEveryKind() throws {
    for new in [AtomicOutput.Kind.file, .folder] {
      for old in [AtomicOutput.Kind.file, .folder] {
        let name = "\(old) to \(new)"
        switch old {
        case .file: try folder.write("old", to: name)
        case .folder: try folder.write("old", to: name + "/sub/member")
        }
        let output = try AtomicOutput(new, at: folder(name), replacing: true)
        try write("new", output.temporaryPath + (new == .folder ? "/member" : ""))
        let before = old == .file ? name : name + "/sub/member"
        #expect(try folder.text(of: before) == "old", "\(name)")
        try output.commit()
        let after = new == .file ? name : name + "/member"
        #expect(try folder.text(of: after) == "new", "\(name)")
        if new == .folder { #expect(try folder.names(in: name) == ["member"]) }
      }
    }
    #expect(try folder.names().allSatisfy { !$0.hasPrefix(".") })
  }

  @Test func aDiscardedOutputLeavesTheOldOne() throws {
    try folder.write("old", to: "out/member")
    let output = try AtomicOutput(.folder, at: folder("out"), replacing: true)
    try write("new", output.temporaryPath + "/member")
    output.discard()
    #expect(try folder.names() == ["out"])
    #expect(try folder.text(of: "out/member") == "old")
    let error = #expect(throws: FileError.self) { try output.commit() }
    #expect(error?.isNotFound == true)
  }

  @Test func anAbandonedOutputIsRemoved() throws {
    do {
      let output = try AtomicOutput(.file, at: folder("out"))
      try write("new", output.temporaryPath)
    }
    #expect(try folder.names() == [])
  }

  @Test func whatAppearsMeanwhileIsNotReplaced() throws {
    for kind in [AtomicOutput.Kind.file, .folder] {
      let output = try AtomicOutput(kind, at: folder("out"))
      try folder.write("theirs", to: "out")
      let error = #expect(throws: FileError.self) { try output.commit() }
      #expect(error?.isAlreadyExists == true)
      output.discard()
      #expect(try folder.names() == ["out"])
      #expect(try folder.text(of: "out") == "theirs")
      try FileManager.default.removeItem(atPath: folder("out"))
    }
  }

  @Test func aLinkToTheTargetStays() throws {
    try folder.write("old", to: "disk/real")
    #expect(symlink("disk/real", folder("out")) == 0)
    let output = try AtomicOutput(.file, at: folder("out"), replacing: true)
    try write("new", output.temporaryPath)
    try output.commit()
    #expect(try folder.text(of: "disk/real") == "new")
    #expect(try FileManager.default.destinationOfSymbolicLink(atPath: folder("out")) == "disk/real")
    #expect(try folder.names(in: "disk") == ["real"])
  }

  @Test func removingFollowsNoLink() throws {
    try folder.write("keep", to: "elsewhere/file")
    try folder.makeFolder("out")
    #expect(symlink(folder("elsewhere"), folder("out/link")) == 0)
    let output = try AtomicOutput(.folder, at: folder("out"), replacing: true)
    #expect(symlink(output.temporaryPath, output.temporaryPath + "/self") == 0)
    try output.commit()
    #expect(try folder.names() == ["elsewhere", "out"])
    #expect(try folder.text(of: "elsewhere/file") == "keep")
  }

  /// With a registry of the test's own: the process's may hold other tests' outputs.
  @Test func anInterruptionRemovesWhatIsNotCommitted() throws {
    let temporaries = LiveTemporaries()
    try folder.write("old", to: "a")
    let a = try temporaries.create(.file, beside: folder("a"))
    let b = try temporaries.create(.folder, beside: folder("b"))
    let c = try temporaries.create(.folder, beside: folder("c"))
    try write("new", b + "/member")
    try temporaries.move(c, to: folder("c"), replacing: false)
    temporaries.discardAll()
    #expect(try folder.names() == ["a", "c"])
    #expect(try folder.text(of: "a") == "old")
    #expect(throws: FileError(.rename, path: a, errno: ENOENT)) {
      try temporaries.move(a, to: folder("a"), replacing: true)
    }
  }

  @Test func namesThatAreTakenAreSkipped() throws {
    let first = try AtomicOutput(.file, at: folder("out"))
    let second = try AtomicOutput(.file, at: folder("out"))
    #expect(first.temporaryPath != second.temporaryPath)
    let long = String(repeating: "é", count: 125)
    let output = try AtomicOutput(.file, at: folder(long))
    try output.commit()
    #expect(FileSystem.exists(folder(long)))
  }

  @Test func aMissingParentIsAnError() throws {
    let error = #expect(throws: FileError.self) {
      try AtomicOutput(.file, at: folder("no/such/out"))
    }
    #expect(error?.isNotFound == true)
    for path in ["/", ".", "..", folder("a/.."), ""] {
      #expect(throws: FileError.self) { try AtomicOutput(.folder, at: path, replacing: true) }
    }
  }

  /// Where the system cannot exchange two names, a folder is replaced in two steps.
  @Test func replacesWithoutExchange() throws {
    try folder.write("old", to: "out/member")
    try folder.write("new", to: "temporary/member")
    let old = try FileSystem.replaceInSteps(folder("out"), with: folder("temporary"))
    #expect(try folder.text(of: "out/member") == "new")
    let aside = try #require(old)
    FileSystem.removeTree(aside)
    #expect(try folder.names() == ["out"])
    // When the second step fails the first is undone.
    #expect(throws: FileError.self) {
      try FileSystem.replaceInSteps(folder("out"), with: folder("missing"))
    }
    #expect(try folder.text(of: "out/member") == "new")
  }
}
