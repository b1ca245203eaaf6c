import Operations

/// The result of `diff` as one page that needs nothing but itself: no script, no font, no picture from
/// elsewhere. Every number on it is also in the JSON.
struct DiffPage {
  private let rendering: DiffRendering

  init(_ rendering: DiffRendering) {
    self.rendering = rendering
  }

  var html: String {
    let report = rendering.report
    let title = "\(rendering.a) and \(rendering.b)"
    return """
      <!DOCTYPE html>
      <html lang="en">
      <head>
      <meta charset="utf-8">
      <meta name="viewport" content="width=device-width, initial-scale=1">
      <meta name="color-scheme" content="light dark">
      <title>diff: \(Markup.escaped(title))</title>
      <style>
      \(DiffPageStyle.text)
      </style>
      </head>
      <body>
      <header>
      <h1>\(report.isIdentical ? "No difference" : "What differs")</h1>
      <dl>
      <dt>A</dt><dd>\(Markup.path(rendering.a))</dd>
      <dt>B</dt><dd>\(Markup.path(rendering.b))</dd>
      </dl>
      <p class="summary">\(Markup.escaped(rendering.summary))</p>
      \(tolerance)</header>
      <main>
      \(sections.joined(separator: "\n"))
      </main>
      </body>
      </html>

      """
  }

  private var tolerance: String {
    guard let tolerance = rendering.tolerance else { return "" }
    return
      "<p>Tensors with ‖A − B‖ up to \(Text.significant(tolerance)) · ‖A‖ count as equal.</p>\n"
  }

  private var sections: [String] {
    let report = rendering.report
    var sections: [String] = []
    let isAdapter = report.adapters.map { !$0.modules.isEmpty } ?? false
    let maps = report.maps.filter { $0.cells.joined().contains { ($0 ?? 0) > 0 } }
    if !maps.isEmpty {
      sections.append(
        section(
          "Relative change by layer",
          isAdapter
            ? "‖ΔA − ΔB‖ / ‖ΔA‖ of every module: how far the two changes of a weight are apart."
            : "‖A − B‖ / ‖A‖ of every tensor. A dot is no change at all.",
          maps.map { HeatMapChart($0).svg }.joined(separator: "\n")))
    }
    let histogram = report.histogram
    if histogram.counts.count > 0 {
      sections.append(
        section(
          isAdapter ? "How far modules are apart" : "How much tensors changed",
          isAdapter ? "Modules by ‖ΔA − ΔB‖ / ‖ΔA‖." : "Changed tensors by ‖A − B‖ / ‖A‖.",
          HistogramChart(histogram).svg))
    }
    if let scatter = ScatterChart(rendering.features) {
      let correlation = rendering.correlation.map {
        " Their correlation is \(Text.fixed($0, 3))."
      }
      sections.append(
        section(
          "Magnitude and direction",
          "ΔM, the mean change of the length of a weight's output rows, and ΔD, the mean of 1 − cosine "
            + "of the rows (DoRA, arXiv:2402.09353, section 3.2)." + (correlation ?? ""),
          scatter.svg))
    }
    if !report.spectra.isEmpty {
      sections.append(
        section(
          "Singular values of the change", spectraRemark,
          "<div class=\"grid\">\n"
            + report.spectra.map { SpectrumChart($0).figure }.joined(separator: "\n") + "\n</div>"))
    }
    sections += tables
    return sections
  }

  private var spectraRemark: String {
    let spectra = rendering.report.spectra
    var remark = "The \(spectra.count == 1 ? "most changed" : "\(spectra.count) most changed"), "
    remark += "largest values first."
    if spectra.contains(where: { $0.valuesB != nil }) {
      remark += " Filled: the change of A. Hollow: the change of B."
    }
    if spectra.contains(where: \.isEstimate) {
      remark += " Found by random projections: no value is too large, the last ones may be small."
    }
    return remark
  }

  private func section(_ title: String, _ remark: String, _ content: String) -> String {
    """
    <section>
    <h2>\(Markup.escaped(title))</h2>
    <p>\(Markup.escaped(remark))</p>
    \(content)
    </section>
    """
  }

  // MARK: - Tables

  private var tables: [String] {
    let report = rendering.report
    var tables: [String] = []
    if let adapters = report.adapters {
      if !adapters.fields.isEmpty {
        tables.append(
          section(
            "Settings", "Fields of adapter_config.json that are not the same.",
            Markup.table(
              ["setting", "A", "B"], numbers: 3, wraps: true,
              adapters.fields.map {
                [$0.name, DiffRendering.value($0.a), DiffRendering.value($0.b)]
              })))
      }
      if !adapters.modules.isEmpty {
        tables.append(
          section(
            "Modules",
            "The changes ΔA and ΔB of a weight, measured on their factors. Stable rank: Σσ² / σ₁². "
              + "Effective rank: the exponential of the entropy of σ / Σσ.",
            Markup.table(
              [
                "module", "rank", "‖ΔA‖", "‖ΔB‖", "‖ΔA−ΔB‖/‖ΔA‖", "cosine", "stable rank",
                "effective rank",
              ],
              numbers: 1,
              adapters.modules.map { [$0.module] + DiffRendering.cells($0) })))
      }
    }
    let listed = rendering.listed
    if !listed.isEmpty {
      let total = report.tensors.changed.count
      tables.append(
        section(
          "Changed tensors",
          listed.count < total
            ? "The first \(Text.grouped(listed.count)) of \(Text.grouped(total))."
            : "All of them. ulp: the largest distance in representable numbers.",
          Markup.table(
            [
              "tensor", "type", "shape", "max |a−b|", "mean |a−b|", "‖A−B‖/‖A‖", "cosine", "ulp",
              "ΔM",
              "ΔD",
            ], numbers: 3, listed.map { [$0.tensor] + DiffRendering.cells($0) })))
    }
    for (side, names) in [("A", report.tensors.onlyInA), ("B", report.tensors.onlyInB)]
    where !names.isEmpty {
      tables.append(
        section(
          "Only in \(side)", "",
          "<ul>" + names.map { "<li>\(Markup.path($0))</li>" }.joined() + "</ul>"))
    }
    return tables
  }
}

/// Pieces of HTML.
enum Markup {
  static func escaped(_ text: String) -> String {
    var result = ""
    for character in text {
      switch character {
      case "&": result += "&amp;"
      case "<": result += "&lt;"
      case ">": result += "&gt;"
      case "\"": result += "&quot;"
      default: result.append(character)
      }
    }
    return result
  }

  /// A name that may break behind its dots and slashes.
  static func path(_ text: String) -> String {
    "<code>"
      + escaped(text).replacing(".", with: ".<wbr>").replacing("/", with: "/<wbr>")
      .replacing("_", with: "_<wbr>") + "</code>"
  }

  /// - Parameter numbers: the first column of numbers.
  /// - Parameter wraps: cells may take several lines.
  static func table(
    _ titles: [String], numbers: Int, wraps: Bool = false, _ rows: [[String]]
  ) -> String {
    func cell(_ tag: String, _ column: Int, _ text: String) -> String {
      let style = column >= numbers ? " class=\"number\"" : ""
      let scope = tag == "th" ? " scope=\"col\"" : ""
      return
        "<\(tag)\(scope)\(style)>\(column == 0 && tag == "td" ? path(text) : escaped(text))</\(tag)>"
    }
    func row(_ tag: String, _ cells: [String]) -> String {
      "<tr>" + cells.enumerated().map { cell(tag, $0.offset, $0.element) }.joined() + "</tr>"
    }
    return """
      <div class="wide" tabindex="0">
      <table\(wraps ? " class=\"text\"" : "")>
      <thead>\(row("th", titles))</thead>
      <tbody>
      \(rows.map { row("td", $0) }.joined(separator: "\n"))
      </tbody>
      </table>
      </div>
      """
  }
}
