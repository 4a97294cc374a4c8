// The scalars that no set of an expression tells apart are one class, so its table has a column for each class instead
// of for each scalar. The class follows from the scalar's category and from the interval in which it lies.

struct ScalarClasses: Sendable {
    /// The class of what is behind the last scalar.
    static let end = 0
    private static let maximumCount = 255

    let count: Int
    /// membership[class][set]
    private let membership: [[Bool]]
    private let ascii: [UInt8]
    /// Where intervals beyond ASCII begin.
    private let starts: [UInt32]
    /// intervals · ScalarCategory.count
    private let beyond: [UInt8]

    init(_ sets: [ScalarSet]) throws(ExpressionError) {
        var members: [[Bool]] = [[]]
        var numbers: [[Bool]: UInt8] = [:]
        func number(_ value: UInt32, _ category: UInt8) throws(ExpressionError) -> UInt8 {
            let key = sets.map { $0.contains(value, category: category) }
            if let number = numbers[key] { return number }
            guard members.count < Self.maximumCount else {
                throw ExpressionError("it tells more than \(Self.maximumCount - 1) kinds of characters apart")
            }
            let number = UInt8(members.count)
            numbers[key] = number
            members.append(key)
            return number
        }
        var ascii: [UInt8] = []
        for value in 0..<UInt32(0x80) { ascii.append(try number(value, ScalarCategory.number(value))) }
        starts = Set(sets.flatMap(\.bounds).filter { $0 > 0x80 } + [0x80]).sorted()
        var beyond: [UInt8] = []
        for start in starts {
            for category in 0..<UInt8(ScalarCategory.count) { beyond.append(try number(start, category)) }
        }
        (self.ascii, self.beyond, membership, count) = (ascii, beyond, members, members.count)
    }

    func contains(_ number: Int, in set: Int) -> Bool { membership[number][set] }

    func withReader(_ body: (Reader) -> Void) {
        ascii.withUnsafeBufferPointer { ascii in
            starts.withUnsafeBufferPointer { starts in
                beyond.withUnsafeBufferPointer { beyond in
                    ScalarCategory.table.withUnsafeBufferPointer { categories in
                        body(Reader(ascii: ascii, starts: starts, beyond: beyond, categories: categories))
                    }
                }
            }
        }
    }

    /// The same as pointers, for as long as a text is read.
    struct Reader {
        fileprivate let ascii: UnsafeBufferPointer<UInt8>
        fileprivate let starts: UnsafeBufferPointer<UInt32>
        fileprivate let beyond: UnsafeBufferPointer<UInt8>
        fileprivate let categories: UnsafeBufferPointer<UInt8>

        /// The class of a scalar and how many bytes it has.
        @inline(__always)
        func read(_ text: UnsafeBufferPointer<UInt8>, at position: Int, end: Int) -> (Int, Int) {
            let lead = text[position]
            if lead < 0x80 { return (Int(ascii[Int(lead)]), 1) }
            let length = UTF8Text.length(lead)
            return (beyondASCII(UTF8Text.value(text, position..<min(position + length, end))), length)
        }

        private func beyondASCII(_ value: UInt32) -> Int {
            var (low, high) = (0, starts.count)
            while high - low > 1 {
                let middle = (low + high) / 2
                if starts[middle] <= value { low = middle } else { high = middle }
            }
            let category =
                value < UInt32(categories.count) ? categories[Int(value)] : ScalarCategory.number(value)
            return Int(beyond[low * ScalarCategory.count + Int(category)])
        }
    }
}
