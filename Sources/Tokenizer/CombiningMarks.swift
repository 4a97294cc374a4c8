// Long runs of combining marks in canonical order (Unicode's annex 15): each decomposed, then sorted by class, marks of one
// class as they came. Swift's normalization sorts by insertion, in time by the square of a run; it leaves an ordered run
// as it is.

@_spi(_Unicode) import Swift

enum CombiningMarks {
    /// Shorter runs are left to Swift.
    private static let longest = 32
    private static let categories = ScalarCategory.mask("M") ?? 0

    /// The text is valid UTF-8. What it means is the same: its normal forms do not change.
    static func order(_ text: inout [UInt8]) {
        guard hasLongRun(text) else { return }
        var result: [UInt8] = []
        result.reserveCapacity(text.count * 2)
        var run: [(scalar: Unicode.Scalar, number: UInt8)] = []
        func endRun() {
            for scalar in sorted(run) { result.append(contentsOf: UTF8.encode(scalar) ?? .init()) }
            run.removeAll(keepingCapacity: true)
        }
        for scalar in String(decoding: text, as: UTF8.self).unicodeScalars {
            if isMark(scalar.value) {
                for part in String(scalar)._nfd {
                    let number = part.properties.canonicalCombiningClass.rawValue
                    if number == 0 { endRun() }
                    run.append((part, number))
                }
            } else {
                endRun()
                result.append(contentsOf: UTF8.encode(scalar) ?? .init())
            }
        }
        endRun()
        text = result
    }

    private static func isMark(_ value: UInt32) -> Bool {
        categories >> UInt64(ScalarCategory.number(value)) & 1 == 1
    }

    private static func hasLongRun(_ text: [UInt8]) -> Bool {
        var run = 0
        var position = 0
        while position < text.count {
            let length = UTF8Text.length(text[position])
            let isMark = length > 1 && isMark(UTF8Text.value(text, position..<position + length))
            run = isMark ? run + 1 : 0
            if run > longest { return true }
            position += length
        }
        return false
    }

    /// By counting: there are at most 255 classes.
    private static func sorted(_ run: [(scalar: Unicode.Scalar, number: UInt8)]) -> [Unicode.Scalar] {
        var starts = [Int](repeating: 0, count: 257)
        for (_, number) in run { starts[Int(number) + 1] += 1 }
        for number in 1...256 { starts[number] += starts[number - 1] }
        var result = run.map(\.scalar)
        for (scalar, number) in run {
            result[starts[Int(number)]] = scalar
            starts[Int(number)] += 1
        }
        return result
    }
}
