import Operations
import Synchronization

import class Foundation.Thread

/// Shows an operation's progress on a terminal: bytes, rate, time left.
final class ProgressBar: Sendable {
  private let report: ProgressReport
  private let title: String
  private let finished = Atomic<Bool>(false)
  private let gone = Atomic<Bool>(false)

  private init(_ report: ProgressReport, title: String) {
    self.report = report
    self.title = title
  }

  /// Runs `body` with a report that is shown while it runs, when `isWanted` and there is a terminal.
  static func run<Result>(
    _ title: String, isWanted: Bool, _ body: (ProgressReport) throws -> Result
  ) rethrows -> Result {
    let report = ProgressReport()
    guard isWanted, Terminal.errorIsTerminal else { return try body(report) }
    let bar = ProgressBar(report, title: title)
    Thread.detachNewThread { bar.show() }
    defer { bar.stop() }
    return try body(report)
  }

  private func stop() {
    finished.store(true, ordering: .relaxed)
    while !gone.load(ordering: .relaxed) { Thread.sleep(forTimeInterval: 0.01) }
  }

  private func show() {
    let start = ContinuousClock.now
    var shown = false
    while !finished.load(ordering: .relaxed) {
      Thread.sleep(forTimeInterval: 0.1)
      let seconds = (ContinuousClock.now - start) / .seconds(1)
      let total = report.total
      guard total > 0, seconds > 0.5 else { continue }
      let written = report.written
      let rate = Double(written) / seconds
      let left = rate > 0 ? Double(total - written) / rate : 0
      let percent = written * 100 / total
      Terminal.tellPart(
        "\r\u{1B}[K\(title) \(percent)%  \(Text.bytes(written)) of \(Text.bytes(total))  "
          + "\(Text.bytes(Int(rate)))/s  \(Text.duration(left)) left")
      shown = true
    }
    if shown { Terminal.tellPart("\r\u{1B}[K") }
    gone.store(true, ordering: .relaxed)
  }
}
