import CKernels

/// What a weight lost by quantization: differences between its elements and the decoded ones, in
/// f32, their squares added in f64.
///
/// A tensor is measured run by run, and the runs are added in ascending order: the sums do not depend on
/// how the runs were divided among threads.
public struct ReconstructionError: Sendable, Equatable {
  public private(set) var elements = 0
  /// Σ (w − decoded)².
  public private(set) var squaredError = 0.0
  /// Σ w².
  public private(set) var squaredWeight = 0.0
  /// max |w − decoded|.
  public private(set) var largest = 0.0

  public init() {}

  /// The error of one run.
  ///
  /// - Parameters:
  ///   - source: stored elements, of any alignment.
  ///   - decoded: as many decoded values, in f32.
  public init(
    of source: UnsafeRawBufferPointer, as element: ElementType, decoded: UnsafeBufferPointer<Float>
  ) {
    precondition(source.count == decoded.count * element.size)
    guard let from = source.baseAddress, let values = decoded.baseAddress else {
      self.init()
      return
    }
    self.init(
      ck_measure_error(element.kernelElement, from, values, decoded.count),
      elements: decoded.count)
  }

  init(_ measured: ck_quantization_error, elements: Int) {
    self.elements = elements
    squaredError = measured.error_squared
    squaredWeight = measured.weight_squared
    largest = measured.largest_error
  }

  /// Adds the next run of the tensor.
  public mutating func add(_ run: ReconstructionError) {
    elements += run.elements
    squaredError += run.squaredError
    squaredWeight += run.squaredWeight
    largest = max(largest, run.largest)
  }

  /// The error of a tensor from those of its runs, in ascending order.
  public static func total(_ runs: some Sequence<ReconstructionError>) -> ReconstructionError {
    runs.reduce(into: ReconstructionError()) { $0.add($1) }
  }

  /// √(Σ (w − decoded)² / elements); 0 for no elements.
  public var rootMeanSquare: Double {
    elements == 0 ? 0 : (squaredError / Double(elements)).squareRoot()
  }

  /// √(Σ (w − decoded)² / Σ w²); 0 where nothing was lost.
  public var relative: Double {
    squaredError == 0 ? 0 : (squaredError / squaredWeight).squareRoot()
  }
}
