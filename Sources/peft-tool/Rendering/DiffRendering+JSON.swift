import Operations
import Safetensors

extension DiffRendering {
  /// The result as one object. Every number of the page is in it.
  var json: JSONValue {
    let tensors = report.tensors
    var object: JSONObject = [
      "kind": .string(report.kind.rawValue),
      "a": .string(a), "b": .string(b),
      "identical": .bool(report.isIdentical),
      "only_in_a": .array(tensors.onlyInA.map { .string($0) }),
      "only_in_b": .array(tensors.onlyInB.map { .string($0) }),
      "changed": .array(listed.map(json)),
      "changed_count": .int(tensors.changed.count),
      "equal": .int(tensors.equal),
      "tolerance": Self.number(tolerance),
      "magnitude_direction_correlation": Self.number(correlation),
    ]
    if let adapters = report.adapters {
      object["config"] = .array(
        adapters.fields.map { field in
          ["setting": .string(field.name), "a": field.a ?? .null, "b": field.b ?? .null]
        })
      object["modules"] = .array(adapters.modules.map(json))
    }
    if !report.spectra.isEmpty || hasPage {
      object["spectra"] = .array(report.spectra.map(json))
    }
    if hasPage {
      object["magnitude_direction"] = .array(
        features.map { feature in
          [
            "tensor": .string(feature.tensor),
            "magnitude_change": Self.number(feature.magnitude),
            "direction_change": Self.number(feature.direction),
          ]
        })
      let histogram = report.histogram
      object["heat_maps"] = .array(report.maps.map(json))
      object["histogram"] = [
        "edges": .array(histogram.edges.map { .double($0) }),
        "counts": .array(histogram.counts.map { .int($0) }),
      ]
    }
    return .object(object)
  }

  /// JSON has no infinity and no NaN.
  private static func number(_ value: Double?) -> JSONValue {
    guard let value, value.isFinite else { return .null }
    return .double(value)
  }

  private func json(_ difference: TensorDifference) -> JSONValue {
    let numbers = difference.numbers
    let (a, b) = (difference.a, difference.b)
    let reason = a.shape != b.shape ? "shape" : a.dtype != b.dtype ? "dtype" : "values"
    return [
      "tensor": .string(difference.tensor),
      "reason": .string(reason),
      "dtype_a": .string(a.dtype.rawValue), "dtype_b": .string(b.dtype.rawValue),
      "quantization_a": a.encoding.map(JSONValue.string) ?? .null,
      "quantization_b": b.encoding.map(JSONValue.string) ?? .null,
      "shape_a": .array(a.shape.map { .int($0) }), "shape_b": .array(b.shape.map { .int($0) }),
      "max_abs": Self.number(numbers?.maximum),
      "mean_abs": Self.number(numbers?.mean),
      "relative_norm": Self.number(numbers?.relativeNorm),
      "cosine": Self.number(numbers?.cosine),
      "max_ulp": numbers.map { .int($0.distance) } ?? .null,
      "ulp_dtype": numbers.map { .string($0.distanceType.rawValue) } ?? .null,
      "magnitude_change": Self.number(numbers?.magnitudeChange),
      "direction_change": Self.number(numbers?.directionChange),
      "norm_a": Self.number(numbers?.normA),
      "norm_b": Self.number(numbers?.normB),
      "difference_norm": Self.number(numbers?.differenceNorm),
      "elements": numbers.map { .int($0.elements) } ?? .null,
      "changed_elements": numbers.map { .int($0.differing) } ?? .null,
      "not_finite": numbers.map { .int($0.notFinite) } ?? .null,
      "not_finite_changed": numbers.map { .int($0.mismatched) } ?? .null,
    ]
  }

  private func json(_ module: AdapterComparison.Module) -> JSONValue {
    func change(_ change: AdapterComparison.Change?) -> JSONValue {
      guard let change else { return .null }
      return [
        "rank": .int(change.rank), "norm": Self.number(change.norm),
        "stable_rank": Self.number(change.stableRank),
        "effective_rank": Self.number(change.effectiveRank),
      ]
    }
    return [
      "module": .string(module.module), "a": change(module.a), "b": change(module.b),
      "cosine": Self.number(module.cosine), "relative_norm": Self.number(module.relativeNorm),
    ]
  }

  private func json(_ spectrum: ChangeSpectrum) -> JSONValue {
    [
      "name": .string(spectrum.name), "estimate": .bool(spectrum.isEstimate),
      "singular_values": .array(spectrum.values.map(Self.number)),
      "singular_values_b": spectrum.valuesB.map { .array($0.map(Self.number)) } ?? .null,
    ]
  }

  private func json(_ map: ChangeMap) -> JSONValue {
    [
      "prefix": .string(map.prefix),
      "kinds": .array(map.kinds.map { .string($0) }),
      "layers": .array(map.layers.map { .int($0) }),
      "relative_norms": .array(map.cells.map { .array($0.map(Self.number)) }),
    ]
  }
}
