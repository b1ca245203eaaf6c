import Adapters
import Kernels

/// LoRA on bare parameters, in PEFT's layout of `target_parameters`.
extension ExtractOperation {
  /// Writes the factors of `parameter`, one expert after the other; all have the rank of the largest, with
  /// zeros behind the others' own.
  func write(
    _ parameter: ModelDifference.Parameter, of difference: ModelDifference,
    to output: AdapterOutput
  ) throws -> ExtractReport.Module {
    var factors: [TruncatedSVD] = []
    for expert in 0..<parameter.experts {
      let change = try difference.change(of: parameter, expert: expert)
      // What stands beside a stack is small, and is kept whole.
      let size = parameter.isStack ? request.size ?? .energy(1) : .rank(.max)
      factors.append(try change.factors(size, threads: request.threads))
    }
    let (experts, rows, columns) = (
      parameter.experts, parameter.layer.outFeatures, parameter.layer.inFeatures
    )
    let rank = factors.reduce(1) { max($0, $1.values.count) }
    var a = [Float](repeating: 0, count: experts * rank * columns)
    var b = [Float](repeating: 0, count: rows * rank * experts)
    for (expert, svd) in factors.enumerated() {
      let left = svd.scaledLeft
      for k in svd.values.indices {
        // Rows of A are expert by expert; in B the expert runs fastest.
        for column in 0..<columns {
          a[(expert * rank + k) * columns + column] = Float(svd.right[k, column])
        }
        for row in 0..<rows { b[(row * rank + k) * experts + expert] = Float(left[k, row]) }
      }
    }
    let prefix = adapterPrefix + parameter.module + difference.wrapping(of: parameter)
    try output.add(prefix + ".lora_A.weight", [experts * rank, columns], a)
    try output.add(prefix + ".lora_B.weight", [rows, rank * experts], b)
    let total = factors.reduce(0) { $0 + $1.totalSquared }
    let lost = factors.reduce(0) { $0 + $1.residualSquared }
    return ExtractReport.Module(
      module: parameter.path, rank: rank, keptEnergy: total > 0 ? 1 - lost / total : 1,
      deltaSquared: total)
  }
}

extension ModelDifference {
  /// The `base_layer`s between the module and the factors of `parameter`: PEFT wraps the parameters of one
  /// module in the order of registration, the first innermost.
  fileprivate func wrapping(of parameter: Parameter) -> String {
    let names = Architecture.inRegistrationOrder(
      parameters.filter { $0.module == parameter.module }.map(\.name))
    let place = names.firstIndex(of: parameter.name) ?? 0
    return String(repeating: ".base_layer", count: names.count - 1 - place)
  }
}
