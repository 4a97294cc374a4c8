// Byte-pair encoding (Sennrich et al. 2016): as long as there is one, the adjacent pair of the lowest rank, the
// leftmost of equals, becomes one symbol. A heap of (rank, position) makes that n log n, for words of any length.

struct BytePairMerges: Sendable {
    private struct Merge: BitwiseCopyable {
        var rank: Int32 = 0
        var result: Int32 = 0
    }

    private var merges = PairTable(filler: Merge())

    var count: Int { merges.count }

    /// Where a pair is listed twice the last rank counts, as with `tokenizers`.
    mutating func insert(_ left: Int32, _ right: Int32, rank: Int32, result: Int32) {
        merges[left, right] = Merge(rank: rank, result: result)
    }

    /// In no order.
    func forEachPair(_ body: (_ left: Int32, _ right: Int32, _ rank: Int32) -> Void) {
        merges.forEachPair { body($0, $1, $2.rank) }
    }

    /// Room for the symbols of one word, kept from word to word.
    struct Workspace {
        /// The word: filled by the caller before, read by the caller after `apply`. Only ids ≥ 0.
        var symbols: [Int32] = []
        fileprivate var previous: [Int32] = []
        fileprivate var next: [Int32] = []
        fileprivate var heap = MinHeap()
    }

    func apply(to work: inout Workspace) {
        let count = Int32(work.symbols.count)
        guard count > 1 else { return }
        work.previous.removeAll(keepingCapacity: true)
        work.next.removeAll(keepingCapacity: true)
        for position in 0..<count {
            work.previous.append(position - 1)
            work.next.append(position + 1)
        }
        for position in 0..<count - 1 { propose(position, in: &work) }

        while let (rank, position) = work.heap.pop() {
            let left = Int(position)
            guard work.symbols[left] >= 0, work.next[left] < count else { continue }
            let right = Int(work.next[left])
            guard let merge = merges[work.symbols[left], work.symbols[right]], merge.rank == rank else {
                continue
            }
            work.symbols[left] = merge.result
            work.symbols[right] = -1
            work.next[left] = work.next[right]
            if work.next[left] < count { work.previous[Int(work.next[left])] = position }
            propose(position, in: &work)
            if work.previous[left] >= 0 { propose(work.previous[left], in: &work) }
        }
        work.symbols.removeAll { $0 < 0 }
    }

    private func propose(_ position: Int32, in work: inout Workspace) {
        let right = Int(work.next[Int(position)])
        guard right < work.symbols.count,
            let merge = merges[work.symbols[Int(position)], work.symbols[right]]
        else { return }
        work.heap.push(rank: merge.rank, position: position)
    }
}

/// A binary heap of (rank, position), the lowest first.
private struct MinHeap {
    private var keys: [UInt64] = []

    mutating func push(rank: Int32, position: Int32) {
        let key = UInt64(UInt32(bitPattern: rank)) << 32 | UInt64(UInt32(bitPattern: position))
        var index = keys.count
        keys.append(key)
        while index > 0, keys[(index - 1) / 2] > key {
            keys[index] = keys[(index - 1) / 2]
            index = (index - 1) / 2
        }
        keys[index] = key
    }

    mutating func pop() -> (rank: Int32, position: Int32)? {
        guard let first = keys.first, let last = keys.popLast() else { return nil }
        if !keys.isEmpty {
            var index = 0
            while true {
                var child = index * 2 + 1
                guard child < keys.count else { break }
                if child + 1 < keys.count, keys[child + 1] < keys[child] { child += 1 }
                guard keys[child] < last else { break }
                keys[index] = keys[child]
                index = child
            }
            keys[index] = last
        }
        return (Int32(truncatingIfNeeded: first >> 32), Int32(truncatingIfNeeded: first))
    }
}
