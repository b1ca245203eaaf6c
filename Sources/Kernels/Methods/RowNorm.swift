/// `Σ (w + d)²` over a row: the sums in f32, squares and their sum in f64, in eight lanes by column
/// index modulo 8, the lanes added in order.
func squaredNorm(
  _ weight: UnsafeMutableBufferPointer<Float>, plus delta: UnsafeMutableBufferPointer<Float>
) -> Double {
  var lanes = [Double](repeating: 0, count: 8)
  for column in weight.indices {
    let value = Double(weight[column] + delta[column])
    lanes[column & 7] += value * value
  }
  return lanes.reduce(0, +)
}
