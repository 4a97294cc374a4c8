// Token texts and ids, both ways. Texts lie behind one another in one array and are found by open addressing on their
// bytes: Swift's == on strings would take U+212B and U+00C5, two entries of many vocabularies, for the same.

import Checkpoints

struct Vocabulary: Sendable {
    /// Ids beyond this are refused: a file of a few bytes must not make us allocate gigabytes.
    static let maximumCount = 1 << 21

    private var bytes: [UInt8] = []
    private var ends: [UInt32] = []
    private var present: [Bool] = []
    private var slots: [Slot]
    private let mask: Int

    private struct Slot {
        var id: Int32 = -1
        /// Other bits of the hash than those that chose the slot: most other texts differ in them.
        var tag: UInt32 = 0
    }

    /// The size of the id space, gaps included.
    var count: Int { ends.count }

    /// `tokens[id]` is the text of an id, nil where ids have a gap. Of equal texts the first is found by `id(of:)`;
    /// `duplicate` is called for the others.
    init(tokens: [String?], duplicate: (_ first: Int, _ second: Int) throws(FileError) -> Void)
        throws(FileError)
    {
        var capacity = 16
        let texts = tokens.reduce(0) { $0 + ($1 == nil ? 0 : 1) }
        while capacity < texts * 2 { capacity *= 2 }
        slots = Array(repeating: Slot(), count: capacity)
        mask = capacity - 1
        ends.reserveCapacity(tokens.count)
        for (id, token) in tokens.enumerated() {
            let start = bytes.count
            if let token { bytes.append(contentsOf: token.utf8) }
            ends.append(UInt32(bytes.count))
            present.append(token != nil)
            guard token != nil else { continue }
            let (slot, tag) = slot(of: bytes[start...])
            if slots[slot].id < 0 {
                slots[slot] = Slot(id: Int32(id), tag: tag)
            } else {
                try duplicate(Int(slots[slot].id), id)
            }
        }
    }

    func id(of token: String) -> Int32? { id(of: Array(token.utf8)[...]) }

    func id(of token: ArraySlice<UInt8>) -> Int32? {
        let id = slots[slot(of: token).place].id
        return id < 0 ? nil : id
    }

    /// The bytes of a token; nil for an id outside of the vocabulary or in a gap.
    func bytes(of id: Int) -> ArraySlice<UInt8>? {
        guard id >= 0, id < count, present[id] else { return nil }
        return bytes[(id == 0 ? 0 : Int(ends[id - 1]))..<Int(ends[id])]
    }

    func text(of id: Int) -> String? { bytes(of: id).map { String(decoding: $0, as: UTF8.self) } }

    /// Where a text is, or the empty slot where it would be.
    private func slot(of token: ArraySlice<UInt8>) -> (place: Int, tag: UInt32) {
        let hash = Vocabulary.hash(token)
        let tag = UInt32(truncatingIfNeeded: hash >> 32)
        var place = Int(truncatingIfNeeded: hash) & mask
        while slots[place].id >= 0 {
            if slots[place].tag == tag, bytes(of: Int(slots[place].id)) == token { break }
            place = (place + 1) & mask
        }
        return (place, tag)
    }

    /// Swift's hash has a seed for each process: no file can hold texts that all fall on one place.
    private static func hash(_ token: ArraySlice<UInt8>) -> UInt64 {
        var hasher = Hasher()
        token.withUnsafeBytes { hasher.combine(bytes: $0) }
        return UInt64(bitPattern: Int64(hasher.finalize()))
    }
}
