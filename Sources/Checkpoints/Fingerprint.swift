// FNV-1a in 64 bits: tells whether two things are the same without keeping them.

package struct Fingerprint: Sendable {
    package private(set) var value: UInt64 = 0xcbf2_9ce4_8422_2325

    package init() {}

    package var text: String { String(value, radix: 16) }

    package mutating func add(_ bytes: UnsafeRawBufferPointer) {
        var value = value
        for byte in bytes { value = (value ^ UInt64(byte)) &* 0x100_0000_01b3 }
        self.value = value
    }

    package mutating func add(_ numbers: [some BitwiseCopyable]) { numbers.withUnsafeBytes { add($0) } }

    /// With its length, so that the end of one text is never taken for the beginning of the next.
    package mutating func add(_ text: String) {
        var text = text
        add([text.utf8.count])
        text.withUTF8 { add(UnsafeRawBufferPointer($0)) }
    }
}
