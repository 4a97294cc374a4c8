// A table of pairs of numbers ≥ 0, by open addressing. Its hash has a seed of its own, so that no file can name pairs
// that all fall on one place.

struct PairTable<Value: BitwiseCopyable & Sendable>: Sendable {
    private struct Entry {
        var left: Int32 = -1
        var right: Int32 = -1
        var value: Value
    }

    private let empty: Entry
    private let seed = UInt64.random(in: .min ... .max)
    private let factor = UInt64.random(in: .min ... .max) | 1
    private var entries: [Entry]
    private(set) var count = 0

    /// `filler` is what unused places hold.
    init(filler: Value) {
        empty = Entry(value: filler)
        entries = Array(repeating: empty, count: 16)
    }

    subscript(left: Int32, right: Int32) -> Value? {
        get {
            let entry = entries[place(left, right)]
            return entry.left < 0 ? nil : entry.value
        }
        set {
            guard let newValue else { return }
            if (count + 1) * 2 > entries.count { grow() }
            let place = place(left, right)
            if entries[place].left < 0 { count += 1 }
            entries[place] = Entry(left: left, right: right, value: newValue)
        }
    }

    func forEachPair(_ body: (_ left: Int32, _ right: Int32, _ value: Value) -> Void) {
        for entry in entries where entry.left >= 0 { body(entry.left, entry.right, entry.value) }
    }

    @inline(__always)
    private func place(_ left: Int32, _ right: Int32) -> Int {
        let key = UInt64(UInt32(bitPattern: left)) << 32 | UInt64(UInt32(bitPattern: right))
        let product = (key ^ seed).multipliedFullWidth(by: factor)
        let mask = entries.count - 1
        var place = Int(truncatingIfNeeded: product.high ^ product.low) & mask
        while entries[place].left >= 0, entries[place].left != left || entries[place].right != right {
            place = (place + 1) & mask
        }
        return place
    }

    private mutating func grow() {
        let old = entries
        entries = Array(repeating: empty, count: old.count * 2)
        for entry in old where entry.left >= 0 { entries[place(entry.left, entry.right)] = entry }
    }
}
