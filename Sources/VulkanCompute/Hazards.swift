// Which byte ranges commands since the last barrier have read and written, so that a barrier is placed exactly
// where a command depends on an earlier one: read after write, write after read, write after write.

struct Hazards {
    private struct Access {
        let buffer: ObjectIdentifier
        let range: Range<Int>
    }
    private var reads: [Access] = []
    private var writes: [Access] = []

    /// True if a command with these accesses must wait for a command noted before.
    func conflict(reads newReads: [BufferSlice], writes newWrites: [BufferSlice]) -> Bool {
        newReads.contains { Self.overlap($0, writes) }
            || newWrites.contains { Self.overlap($0, writes) || Self.overlap($0, reads) }
    }

    /// True if one command with these accesses writes what it reads.
    static func isInPlace(reads: [BufferSlice], writes: [BufferSlice]) -> Bool {
        var own = Hazards()
        own.note(reads: reads, writes: [])
        return own.conflict(reads: [], writes: writes)
    }

    mutating func note(reads newReads: [BufferSlice], writes newWrites: [BufferSlice]) {
        reads += newReads.map { Access(buffer: ObjectIdentifier($0.buffer), range: $0.range) }
        writes += newWrites.map { Access(buffer: ObjectIdentifier($0.buffer), range: $0.range) }
    }

    mutating func clear() {
        reads.removeAll(keepingCapacity: true)
        writes.removeAll(keepingCapacity: true)
    }

    private static func overlap(_ slice: BufferSlice, _ accesses: [Access]) -> Bool {
        let id = ObjectIdentifier(slice.buffer)
        return accesses.contains { $0.buffer == id && $0.range.overlaps(slice.range) }
    }
}
