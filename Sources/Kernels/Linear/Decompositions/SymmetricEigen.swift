/// Eigenvalues and eigenvectors of a symmetric matrix: `A = Vᵀ·diag(λ)·V`, V orthogonal.
///
/// Householder reduction to tridiagonal form, then the implicit QL iteration. Eigenvalues are within
/// a small multiple of n·2⁻⁵³·‖A‖ of the true ones. Time grows with the cube of the size: a minute
/// or two for 4096.
///
/// Source: Golub and Van Loan, Matrix Computations, algorithms 8.3.1 and 8.3.3 (QL instead of QR).
public struct SymmetricEigen: Sendable {
  /// Descending.
  public let values: [Double]
  /// Row k belongs to `values[k]`.
  public let vectors: DenseMatrix

  /// An element of the matrix is not finite.
  public struct NotFinite: Error, Equatable {}

  /// - Parameter matrix: symmetric; only its lower triangle is read.
  public init(_ matrix: DenseMatrix) throws(NotFinite) {
    precondition(matrix.rows == matrix.columns)
    let size = matrix.rows
    guard matrix.values.allSatisfy(\.isFinite) else { throw NotFinite() }
    var tridiagonal = TridiagonalMatrix(matrix)
    // Rows of the accumulated rotations are eigenvectors of the tridiagonal matrix.
    var vectors = DenseMatrix(identity: size)
    guard tridiagonal.diagonalize(rotating: &vectors) else { throw NotFinite() }
    tridiagonal.transformBack(&vectors)

    let diagonal = tridiagonal.diagonal
    let order = diagonal.indices.sorted { (-diagonal[$0], $0) < (-diagonal[$1], $1) }
    var sorted = DenseMatrix(rows: size, columns: size)
    for (target, source) in order.enumerated() {
      sorted.values.replaceSubrange(
        target * size..<(target + 1) * size, with: vectors.row(source))
    }
    self.values = order.map { diagonal[$0] }
    self.vectors = sorted
  }
}

/// A symmetric tridiagonal matrix T and the reflections that led to it: `A = H·T·Hᵀ`.
struct TridiagonalMatrix {
  let size: Int
  private(set) var diagonal: [Double]
  /// Element k couples k and k + 1; the last one is not used.
  private var beside: [Double]
  /// Reflector k acts on the indices k + 1… .
  private var reflectors: [[Double]] = []

  init(_ matrix: DenseMatrix) {
    let size = matrix.rows
    self.size = size
    diagonal = [Double](repeating: 0, count: size)
    beside = diagonal
    guard size > 0 else { return }
    var a = matrix.values
    for row in 0..<size {
      for column in 0..<row { a[column * size + row] = a[row * size + column] }
    }
    var product = diagonal
    a.withUnsafeMutableBufferPointer { a in
      for k in 0..<size - 1 {
        diagonal[k] = a[k * size + k]
        let reflector = householder(
          of: UnsafeBufferPointer(rebasing: a[k * size + k + 1..<(k + 1) * size]))
        beside[k] = Self.reflectTrailing(
          a, size: size, from: k, reflector: reflector, product: &product)
        reflectors.append(reflector)
      }
    }
    diagonal[size - 1] = a[size * size - 1]
  }

  /// Applies the reflector to both sides of the trailing square from k + 1 on; returns the element
  /// that now couples k and k + 1.
  ///
  /// With p = A·v and w = p − (pᵀv/2)·v: `(I − vvᵀ)·A·(I − vvᵀ) = A − v·wᵀ − w·vᵀ`.
  private static func reflectTrailing(
    _ a: UnsafeMutableBufferPointer<Double>, size: Int, from k: Int, reflector: [Double],
    product: inout [Double]
  ) -> Double {
    func row(_ index: Int) -> UnsafeMutableBufferPointer<Double> {
      UnsafeMutableBufferPointer(rebasing: a[index * size + k + 1..<(index + 1) * size])
    }
    reflect(row(k), by: reflector)
    reflector.withUnsafeBufferPointer { v in
      product.withUnsafeMutableBufferPointer { product in
        let p = UnsafeMutableBufferPointer(rebasing: product[..<v.count])
        for index in v.indices { p[index] = dot(UnsafeBufferPointer(row(k + 1 + index)), v) }
        add(-0.5 * dot(UnsafeBufferPointer(p), v), v, to: p)
        for index in v.indices {
          let target = row(k + 1 + index)
          let (left, right) = (v[index], p[index])
          for column in v.indices {
            target[column] -= left * p[column] + right * v[column]
          }
        }
      }
    }
    return a[k * size + k + 1]
  }

  /// QL with Wilkinson's shift: T becomes diagonal, and each rotation is applied to two rows of
  /// `vectors`. False when it does not converge, which takes elements that are not finite.
  mutating func diagonalize(rotating vectors: inout DenseMatrix) -> Bool {
    for start in 0..<size {
      var steps = 0
      while true {
        var end = start
        while end < size - 1 {
          let scale = abs(diagonal[end]) + abs(diagonal[end + 1])
          if abs(beside[end]) <= 0x1p-53 * scale { break }
          end += 1
        }
        if end == start { break }
        steps += 1
        guard steps <= 100 else { return false }
        step(from: start, through: end, &vectors)
      }
    }
    return true
  }

  /// One implicit QL step on the block from `start` through `end`, whose couplings are not zero.
  private mutating func step(from start: Int, through end: Int, _ vectors: inout DenseMatrix) {
    var g = (diagonal[start + 1] - diagonal[start]) / (2 * beside[start])
    let root = hypotenuse(g, 1)
    g = diagonal[end] - diagonal[start] + beside[start] / (g + (g < 0 ? -root : root))
    var (sine, cosine, shift) = (1.0, 1.0, 0.0)
    for index in stride(from: end - 1, through: start, by: -1) {
      let f = sine * beside[index]
      let b = cosine * beside[index]
      let length = hypotenuse(f, g)
      beside[index + 1] = length
      if length == 0 {
        // The block falls apart here: end the step early.
        diagonal[index + 1] -= shift
        beside[end] = 0
        return
      }
      (sine, cosine) = (f / length, g / length)
      g = diagonal[index + 1] - shift
      let change = (diagonal[index] - g) * sine + 2 * cosine * b
      shift = sine * change
      diagonal[index + 1] = g + shift
      g = cosine * change - b
      rotate(&vectors, index, sine: sine, cosine: cosine)
    }
    diagonal[start] -= shift
    beside[start] = g
    beside[end] = 0
  }

  private func hypotenuse(_ x: Double, _ y: Double) -> Double {
    let larger = max(abs(x), abs(y))
    guard larger > 0 else { return 0 }
    let ratio = min(abs(x), abs(y)) / larger
    return larger * (1 + ratio * ratio).squareRoot()
  }

  private func rotate(_ vectors: inout DenseMatrix, _ row: Int, sine: Double, cosine: Double) {
    vectors.values.withUnsafeMutableBufferPointer { values in
      let lower = UnsafeMutableBufferPointer(rebasing: values[row * size..<(row + 1) * size])
      let upper = UnsafeMutableBufferPointer(rebasing: values[(row + 1) * size..<(row + 2) * size])
      for index in 0..<size {
        let value = upper[index]
        upper[index] = sine * lower[index] + cosine * value
        lower[index] = cosine * lower[index] - sine * value
      }
    }
  }

  /// Eigenvectors of T, as rows, become eigenvectors of A.
  func transformBack(_ vectors: inout DenseMatrix) {
    vectors.values.withUnsafeMutableBufferPointer { values in
      // Rows in blocks that stay in the cache while all reflectors pass by.
      for first in stride(from: 0, to: size, by: 16) {
        for k in stride(from: reflectors.count - 1, through: 0, by: -1) {
          for row in first..<min(first + 16, size) {
            reflect(
              UnsafeMutableBufferPointer(rebasing: values[row * size + k + 1..<(row + 1) * size]),
              by: reflectors[k])
          }
        }
      }
    }
  }
}
