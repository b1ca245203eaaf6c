/// The merges that could be made next, in order of rank, then of position: a binary heap.
struct MergeQueue {
  struct Candidate {
    var rank: Int32
    var position: Int32
    /// The id of the merged token.
    var result: Int32

    func precedes(_ other: Candidate) -> Bool {
      (rank, position) < (other.rank, other.position)
    }
  }

  private var heap: [Candidate] = []

  mutating func push(_ candidate: Candidate) {
    var i = heap.count
    heap.append(candidate)
    while i > 0 {
      let parent = (i - 1) / 2
      guard candidate.precedes(heap[parent]) else { break }
      heap[i] = heap[parent]
      i = parent
    }
    heap[i] = candidate
  }

  mutating func pop() -> Candidate? {
    guard let first = heap.first else { return nil }
    let last = heap.removeLast()
    guard !heap.isEmpty else { return first }
    var i = 0
    while true {
      var child = 2 * i + 1
      guard child < heap.count else { break }
      if child + 1 < heap.count, heap[child + 1].precedes(heap[child]) { child += 1 }
      guard heap[child].precedes(last) else { break }
      heap[i] = heap[child]
      i = child
    }
    heap[i] = last
    return first
  }
}
