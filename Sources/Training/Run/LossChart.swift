import Safetensors

/// The loss of a run as a picture: a point for each step, its moving average, and the evaluations.
struct LossChart {
  static let fileName = "loss.svg"

  private let log: TrainingLog
  private let width = 720.0
  private let height = 400.0
  // Margins.
  private let left = 64.0
  private let right = 16.0
  private let top = 24.0
  private let bottom = 48.0

  init(_ log: TrainingLog) { self.log = log }

  func write(into folder: String) throws {
    let file = try OutputFile(path: FileSystem.join(folder, Self.fileName))
    try file.write(Array(svg.utf8), at: 0)
    try file.close()
  }

  /// The picture; its numbers have two decimals.
  var svg: String {
    let losses = log.entries.map { (step: Double($0.step), loss: $0.loss) }
    let evaluations = log.entries.compactMap { entry in
      entry.evaluation.map { (step: Double(entry.step), loss: $0.loss) }
    }
    let all = (losses + evaluations).map(\.loss)
    let (low, high) = (min(all.min() ?? 0, 0), max(all.max() ?? 1, 1e-9))
    let last = max(losses.last?.step ?? 1, 1)
    let first = losses.first?.step ?? 1
    func x(_ step: Double) -> Double {
      left + (width - left - right) * (last > first ? (step - first) / (last - first) : 0.5)
    }
    func y(_ loss: Double) -> Double {
      top + (height - top - bottom) * (high - loss) / (high - low)
    }
    func path(_ points: [(step: Double, loss: Double)]) -> String {
      points.map { "\(text(x($0.step))),\(text(y($0.loss)))" }.joined(separator: " ")
    }

    var lines = [
      #"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 \#(text(width)) \#(text(height))" font-family="sans-serif" font-size="12">"#,
      "<title>Loss by step</title>",
      #"<rect width="100%" height="100%" fill="white"/>"#,
    ]
    for part in 0...4 {
      let loss = low + (high - low) * Double(part) / 4
      let at = text(y(loss))
      lines.append(
        #"<line x1="\#(text(left))" x2="\#(text(width - right))" y1="\#(at)" y2="\#(at)" stroke="gainsboro"/>"#
      )
      lines.append(
        #"<text x="\#(text(left - 8))" y="\#(at)" text-anchor="end" dominant-baseline="middle">\#(text(loss))</text>"#
      )
    }
    for step in [first, last] {
      lines.append(
        #"<text x="\#(text(x(step)))" y="\#(text(height - bottom + 20))" text-anchor="middle">\#(Int(step))</text>"#
      )
    }
    lines.append(
      #"<text x="\#(text(width / 2))" y="\#(text(height - 8))" text-anchor="middle">step</text>"#)
    lines.append(
      #"<polyline points="\#(path(losses))" fill="none" stroke="lightskyblue" stroke-width="1"/>"#)
    lines.append(
      #"<polyline points="\#(path(smoothed(losses)))" fill="none" stroke="royalblue" stroke-width="2"/>"#
    )
    if !evaluations.isEmpty {
      lines.append(
        #"<polyline points="\#(path(evaluations))" fill="none" stroke="darkorange" stroke-width="2"/>"#
      )
      for point in evaluations {
        lines.append(
          #"<circle cx="\#(text(x(point.step)))" cy="\#(text(y(point.loss)))" r="3" fill="darkorange"/>"#
        )
      }
    }
    var legend = [("royalblue", "training loss (moving average)")]
    if !evaluations.isEmpty { legend.append(("darkorange", "evaluation loss")) }
    for (index, entry) in legend.enumerated() {
      let at = top + 16 * Double(index)
      lines.append(
        #"<text x="\#(text(width - right))" y="\#(text(at))" text-anchor="end" fill="\#(entry.0)">\#(entry.1)</text>"#
      )
    }
    return lines.joined(separator: "\n") + "\n</svg>\n"
  }

  /// Exponential moving average over about a twentieth of the run.
  private func smoothed(
    _ points: [(step: Double, loss: Double)]
  ) -> [(step: Double, loss: Double)] {
    let weight = 2 / (max(1, Double(points.count) / 20) + 1)
    var average = points.first?.loss ?? 0
    return points.map { point in
      average += weight * (point.loss - average)
      return (point.step, average)
    }
  }

  private func text(_ value: Double) -> String {
    let hundredths = (abs(value) * 100).rounded()
    guard hundredths < 1e15 else { return "0.00" }
    let whole = Int(hundredths)
    let decimals = whole % 100
    return (value < 0 && whole > 0 ? "-" : "")
      + "\(whole / 100).\(decimals < 10 ? "0" : "")\(decimals)"
  }
}
