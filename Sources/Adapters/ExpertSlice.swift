import Kernels

/// The part of an adapted stack of experts that one tensor of the checkpoint holds.
///
/// transformers 5 fuses the experts of a layer into one parameter, `gate_up_proj`
/// (`experts × 2·ffn × hidden`) and `down_proj` (`experts × hidden × ffn`); checkpoints store one
/// tensor per expert and projection. PEFT adapts the fused parameter (`target_parameters`).
public struct ExpertSlice: Sendable, Equatable {
  public let expert: Int
  public let experts: Int
  /// The rows of the fused parameter's expert.
  public let rows: Range<Int>
  /// Rows of the whole expert in the fused parameter.
  public let fusedRows: Int

  /// The factors of this part: A `(experts·r, in)` has the expert slow, B `(out, experts·r)` has it
  /// fast (PEFT's layout of LoRA on three-dimensional parameters).
  func slice(a: AdapterTensor, b: AdapterTensor) throws(MethodError) -> (
    a: AdapterTensor, b: AdapterTensor
  ) {
    guard a.shape.count == 2, b.shape.count == 2, a.shape[0] % experts == 0,
      b.shape == [fusedRows, a.shape[0]]
    else {
      throw .shape(
        leaf: "lora_B.weight", found: b.shape, expected: "[\(fusedRows), rank of lora_A.weight]")
    }
    let rank = a.shape[0] / experts
    let columns = a.shape[1]
    let aValues = a.reals
    let bValues = b.reals
    let start = expert * rank * columns
    var slicedB: [Float] = []
    slicedB.reserveCapacity(rows.count * rank)
    for row in rows {
      for k in 0..<rank { slicedB.append(bValues[row * rank * experts + k * experts + expert]) }
    }
    return (
      AdapterTensor(
        shape: [rank, columns], Array(aValues[start..<start + rank * columns])),
      AdapterTensor(shape: [rows.count, rank], slicedB)
    )
  }
}

/// Where the experts of a fused parameter are in a checkpoint.
enum ExpertLayout {
  /// The checkpoint's parts of a fused parameter, in the order of the fused rows.
  static func parts(of parameter: String) -> [[String]] {
    switch parameter {
    case "gate_up_proj": [["w1", "w3"], ["gate_proj", "up_proj"]]
    case "down_proj": [["w2"], ["down_proj"]]
    default: []
    }
  }
}
