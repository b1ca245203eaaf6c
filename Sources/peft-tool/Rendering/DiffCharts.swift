import Foundation
import Operations

/// Layers from left to right, modules from top to bottom; the colour is the logarithm of the change.
struct HeatMapChart {
  private let map: ChangeMap

  init(_ map: ChangeMap) {
    self.map = map
  }

  var svg: String {
    let names = map.kinds
    let side = min(34, max(12, 860 / max(1, map.layers.count)))
    let left = 16 + 7 * (names.map(\.count).max() ?? 0)
    let top = 22
    let width = left + side * map.layers.count + 8
    let legend = top + side * names.count + 14
    let changed = map.cells.joined().compactMap { $0 }.filter { $0 > 0 }
    let (least, most) = (changed.min() ?? 1, changed.max() ?? 1)
    var parts: [String] = []
    // As many labels as fit.
    let step = max(1, (26 + side - 1) / side)
    for (index, layer) in map.layers.enumerated() where index % step == 0 {
      parts.append(
        "<text x=\"\(left + index * side + side / 2)\" y=\"14\" text-anchor=\"middle\">\(layer)</text>"
      )
    }
    for (row, name) in names.enumerated() {
      let y = top + row * side
      parts.append(
        "<text class=\"name\" x=\"\(left - 8)\" y=\"\(y + side / 2 + 4)\" text-anchor=\"end\">"
          + "\(Markup.escaped(name))</text>")
      for (column, value) in map.cells[row].enumerated() {
        guard let value else { continue }
        let x = left + column * side
        let title = "\(map.prefix).\(map.layers[column]).\(name): \(Text.significant(value))"
        let label = "<title>\(Markup.escaped(title))</title>"
        if value > 0 {
          parts.append(
            "<rect class=\"cell\" style=\"--heat:\(heat(value, least, most))%\" x=\"\(x)\" y=\"\(y)\" "
              + "width=\"\(side - 2)\" height=\"\(side - 2)\" rx=\"2\">\(label)</rect>")
        } else {
          parts.append(
            "<circle class=\"none\" cx=\"\(x + side / 2 - 1)\" cy=\"\(y + side / 2 - 1)\" "
              + "r=\"2\">\(label)</circle>")
        }
      }
    }
    parts.append(legendParts(x: left, y: legend, least, most))
    return """
      <div class="wide" tabindex="0">
      <svg class="map" width="\(max(width, left + 300))" height="\(legend + 22)" role="img" \
      aria-label="Relative change by layer of \(Markup.escaped(map.prefix))">
      <text x="0" y="14">\(Markup.escaped(map.prefix))</text>
      \(parts.joined(separator: "\n"))
      </svg>
      </div>
      """
  }

  private func heat(_ value: Double, _ least: Double, _ most: Double) -> Int {
    guard most > least else { return 100 }
    return Int((100 * log(value / least) / log(most / least)).rounded())
  }

  private func legendParts(x: Int, y: Int, _ least: Double, _ most: Double) -> String {
    let low = Text.significant(least)
    let start = x + 7 * low.count + 6
    let cells = most > least ? 12 : 1
    var parts = ["<text x=\"\(x)\" y=\"\(y + 11)\">\(low)</text>"]
    for index in 0..<cells {
      let heat = cells == 1 ? 100 : 100 * index / (cells - 1)
      parts.append(
        "<rect class=\"cell\" style=\"--heat:\(heat)%\" x=\"\(start + 10 * index)\" y=\"\(y)\" "
          + "width=\"10\" height=\"12\"/>")
    }
    if cells > 1 {
      parts.append(
        "<text x=\"\(start + 10 * cells + 6)\" y=\"\(y + 11)\">\(Text.significant(most))</text>")
    }
    return parts.joined(separator: "\n")
  }
}

/// Bars over bins of half a power of ten.
struct HistogramChart {
  private let histogram: ChangeHistogram

  init(_ histogram: ChangeHistogram) {
    self.histogram = histogram
  }

  var svg: String {
    let (width, height, bottom) = (max(320, 72 * histogram.counts.count + 72), 220, 190)
    let most = histogram.counts.max() ?? 1
    let bar = Double(width - 72) / Double(histogram.counts.count)
    var parts = ["<path class=\"axis\" d=\"M30 \(bottom)H\(width - 30)\"/>"]
    for (index, count) in histogram.counts.enumerated() {
      let x = 36 + bar * Double(index)
      let size = Double(count) / Double(most) * Double(bottom - 34)
      if count > 0 {
        let range =
          "\(Text.significant(histogram.edges[index])) … \(Text.significant(histogram.edges[index + 1]))"
        parts.append(
          "<rect class=\"bar\" x=\"\(Text.fixed(x + 2, 1))\" y=\"\(Text.fixed(Double(bottom) - size, 1))\" "
            + "width=\"\(Text.fixed(bar - 4, 1))\" height=\"\(Text.fixed(size, 1))\" rx=\"2\">"
            + "<title>\(range): \(count)</title></rect>")
        parts.append(
          "<text x=\"\(Text.fixed(x + bar / 2, 1))\" y=\"\(Text.fixed(Double(bottom) - size - 6, 1))\" "
            + "text-anchor=\"middle\">\(Text.grouped(count))</text>")
      }
    }
    for (index, edge) in histogram.edges.enumerated() {
      parts.append(
        "<text x=\"\(Text.fixed(36 + bar * Double(index), 1))\" y=\"\(bottom + 18)\" "
          + "text-anchor=\"middle\">\(Text.significant(edge))</text>")
    }
    return """
      <div class="wide" tabindex="0">
      <svg width="\(width)" height="\(height)" role="img" aria-label="Histogram of relative changes">
      \(parts.joined(separator: "\n"))
      </svg>
      </div>
      """
  }
}

/// ΔM to the right, ΔD upwards, a point for every changed matrix.
struct ScatterChart {
  private let points: [(tensor: String, magnitude: Double, direction: Double)]

  /// nil where there is nothing to be seen.
  init?(_ points: [(tensor: String, magnitude: Double, direction: Double)]) {
    guard points.count > 1 else { return nil }
    self.points = points
  }

  /// The least and the largest of some values, and where between them one lies, 0 … 1.
  private struct Scale {
    let least: Double
    let most: Double

    init(_ values: [Double]) {
      least = values.min() ?? 0
      most = values.max() ?? 0
    }

    func place(_ value: Double) -> Double {
      most > least ? (value - least) / (most - least) : 0.5
    }
  }

  var svg: String {
    let (width, height, left, right, top, bottom) = (420, 260, 74, 400, 20, 216)
    let across = Scale(points.map(\.magnitude))
    let upwards = Scale(points.map(\.direction))
    var parts = ["<path class=\"axis\" d=\"M\(left - 8) 10V\(bottom + 10)H\(right + 10)\"/>"]
    for point in points {
      let title =
        "\(point.tensor): ΔM \(Text.significant(point.magnitude)), "
        + "ΔD \(Text.significant(point.direction))"
      let x = Double(left) + across.place(point.magnitude) * Double(right - left)
      let y = Double(bottom) - upwards.place(point.direction) * Double(bottom - top)
      parts.append(
        "<circle class=\"point\" cx=\"\(Text.fixed(x, 1))\" cy=\"\(Text.fixed(y, 1))\" r=\"4\">"
          + "<title>\(Markup.escaped(title))</title></circle>")
    }
    return """
      <svg class="fluid" viewBox="0 0 \(width) \(height)" role="img" \
      aria-label="Change of magnitude and direction">
      \(parts.joined(separator: "\n"))
      <text x="\(left - 14)" y="\(top + 4)" text-anchor="end">\(Text.significant(upwards.most))</text>
      <text x="\(left - 14)" y="\(bottom + 4)" text-anchor="end">\(Text.significant(upwards.least))</text>
      <text x="\(left - 14)" y="\((top + bottom) / 2)" text-anchor="end">ΔD</text>
      <text x="\(left)" y="\(bottom + 28)" text-anchor="middle">\(Text.significant(across.least))</text>
      <text x="\(right)" y="\(bottom + 28)" text-anchor="middle">\(Text.significant(across.most))</text>
      <text x="\((left + right) / 2)" y="\(bottom + 28)" text-anchor="middle">ΔM</text>
      </svg>
      """
  }
}

/// Singular values in their order, from zero up.
struct SpectrumChart {
  private let spectrum: ChangeSpectrum

  init(_ spectrum: ChangeSpectrum) {
    self.spectrum = spectrum
  }

  var figure: String {
    let (width, height, left, bottom) = (250, 138, 8, 128)
    let series = [spectrum.values] + (spectrum.valuesB.map { [$0] } ?? [])
    let most = series.joined().max() ?? 0
    let count = max(1, series.map(\.count).max() ?? 1)
    let step = Double(width - left - 16) / Double(max(1, count - 1))
    var parts = ["<path class=\"axis\" d=\"M\(left) 10V\(bottom)H\(width - 6)\"/>"]
    for (index, values) in series.enumerated() where !values.isEmpty {
      let points = values.enumerated().map { place, value in
        (
          x: Text.fixed(Double(left) + 5 + step * Double(place), 1),
          y: Text.fixed(Double(bottom) - (most > 0 ? value / most : 0) * Double(bottom - 24), 1)
        )
      }
      let line = points.map { "\($0.x),\($0.y)" }.joined(separator: " ")
      parts.append("<polyline class=\"line\(index > 0 ? " second" : "")\" points=\"\(line)\"/>")
      for (point, value) in zip(points, values) {
        parts.append(
          "<circle class=\"\(index > 0 ? "ring" : "point")\" cx=\"\(point.x)\" cy=\"\(point.y)\" "
            + "r=\"3\"><title>\(Text.significant(value))</title></circle>")
      }
    }
    return """
      <figure>
      <svg viewBox="0 0 \(width) \(height)" width="100%" role="img" \
      aria-label="Singular values of \(Markup.escaped(spectrum.name))">
      \(parts.joined(separator: "\n"))
      <text x="\(left + 14)" y="14">\(Text.significant(most))</text>
      </svg>
      <figcaption>\(Markup.path(spectrum.name))</figcaption>
      </figure>
      """
  }
}
