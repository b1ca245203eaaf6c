import Adapters
import Foundation
import Safetensors

@testable import Operations

/// ΔW of every linear module of a LoRA at `path`, by module: `(α/r)·B·A` in f64, the obvious way.
func changes(of path: String) throws -> [String: (rows: Int, columns: Int, values: [Double])] {
  let file = try AdapterFile(path: path)
  var result: [String: (rows: Int, columns: Int, values: [Double])] = [:]
  let tensors = try readModel(path + "/adapter_model.safetensors")
  for module in try AdapterContents(file).modules {
    let prefix = "base_model.model.\(module.path)."
    guard let a = tensors[prefix + "lora_A.weight"], let b = tensors[prefix + "lora_B.weight"]
    else { continue }
    let (rank, columns, rows) = (a.shape[0], a.shape[1...].reduce(1, *), b.shape[0])
    let root = file.config.settings["use_rslora"] == .bool(true)
    let alpha = try module.settings.real("lora_alpha") ?? 8
    let scale = alpha / (root ? Double(rank).squareRoot() : Double(rank))
    let (x, y) = (b.values, a.values)
    var values = [Double](repeating: 0, count: rows * columns)
    for row in 0..<rows {
      for k in 0..<rank {
        for column in 0..<columns {
          values[row * columns + column] += scale * x[row * rank + k] * y[k * columns + column]
        }
      }
    }
    result[module.path] = (rows, columns, values)
  }
  return result
}

/// ‖x − y‖ / ‖y‖.
func relativeDistance(_ x: [Double], _ y: [Double]) -> Double {
  let difference = zip(x, y).reduce(0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) }
  let norm = y.reduce(0) { $0 + $1 * $1 }
  return norm > 0 ? (difference / norm).squareRoot() : difference.squareRoot()
}
