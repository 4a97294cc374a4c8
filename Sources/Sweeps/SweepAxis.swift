// The values of an axis as people write them: 1e-4,3e-4; 1..3; 1e-5...1e-2:7.

import LoRAVK
import Reports

package struct SweepAxis: Sendable, Equatable {
    /// A long option of `train`.
    package let name: String
    /// Each as it is written in one way only.
    package let values: [String]

    static let mostRuns = 100_000

    /// Lists, and of numbers also ranges: whole ones from … to (`1..3`), others spaced evenly in their logarithms
    /// (`1e-5...1e-2:7`). A semicolon in the text parts the values in place of commas.
    package init(_ name: String, _ text: String) throws(ConfigError) {
        let isParted = text.contains(";")
        try self.init(name, pieces: Self.pieces(text, isParted ? ";" : ",", name), joinsOptions: !isParted)
    }

    /// `pieces`: a value or a range each. A comma parts names, except in front of an option: `rocoft:a=1`, `b=2` are one.
    package init(_ name: String, pieces: [String], joinsOptions: Bool = false) throws(ConfigError) {
        self.name = name
        var joined: [String] = []
        for piece in pieces {
            if joinsOptions, piece.contains("="), !piece.contains(":"), let last = joined.popLast() {
                joined.append("\(last),\(piece)")
            } else {
                joined.append(piece)
            }
        }
        switch name {
        case "lr": values = try Self.rates(pieces).map { "\($0)" }
        case "rank": values = try (Self.integers(pieces, name) as [Int]).map { "\($0)" }
        case "seed": values = try Self.seeds(pieces).map { "\($0)" }
        default:
            var all: [String] = []
            for piece in joined { all += try Self.values(piece, name) }
            values = all
        }
        guard !values.isEmpty else { throw ConfigError("\(name): there is no value") }
        try Self.requireDistinct(values, name)
    }

    /// Of any option: a range of numbers, or a value in the way in which it is always written.
    private static func values(_ piece: String, _ name: String) throws(ConfigError) -> [String] {
        if let range: ClosedRange<Int> = integers(piece) { return range.map { "\($0)" } }
        if let rates = logarithmic(piece) { return rates.map { "\($0)" } }
        return [try canonical(piece, name)]
    }

    /// One name for one thing: with all its options, and numbers as they print.
    static func canonical(_ text: String, _ name: String) throws(ConfigError) -> String {
        switch name {
        case "method": return try Registries.methods.named(text).description
        case "init": return try Registries.initializations.named(text).description
        case "optimizer": return try Registries.optimizers.named(text).description
        case "schedule": return try Registries.schedules.named(text).description
        case "objective": return try Registries.objectives.named(text).description
        default:
            guard let number = Double(text), number.isFinite else { return text }
            return Int(exactly: number).map { "\($0)" } ?? "\(number)"
        }
    }

    /// Learning rates as `lr` takes them.
    package static func rates(_ text: String) throws(ConfigError) -> [Double] {
        try rates(pieces(text, ",", "lr"))
    }

    private static func rates(_ pieces: [String]) throws(ConfigError) -> [Double] {
        var rates: [Double] = []
        for piece in pieces {
            if let rate = Double(piece), rate > 0, rate.isFinite {
                rates.append(rate)
            } else if let range = logarithmic(piece) {
                rates += range
            } else {
                throw ConfigError(
                    "lr: '\(piece)' is no positive number and no range such as 1e-5...1e-2:7")
            }
        }
        try requireDistinct(rates, "lr")
        return rates
    }

    /// Seeds as `seed` takes them: a database has integers of 64 bits with a sign.
    package static func seeds(_ text: String) throws(ConfigError) -> [UInt64] {
        try seeds(pieces(text, ",", "seed"))
    }

    private static func seeds(_ pieces: [String]) throws(ConfigError) -> [UInt64] {
        let seeds: [UInt64] = try integers(pieces, "seed")
        for seed in seeds where seed > UInt64(Int64.max) {
            throw ConfigError("seed: \(seed) is too large; the largest is \(Int64.max)")
        }
        return seeds
    }

    private static func integers<Number: FixedWidthInteger>(
        _ pieces: [String], _ axis: String
    ) throws(ConfigError) -> [Number] where Number.Stride: SignedInteger {
        var numbers: [Number] = []
        for piece in pieces {
            if let number = Number(piece) {
                numbers.append(number)
            } else if let range: ClosedRange<Number> = integers(piece) {
                numbers += range
            } else {
                throw ConfigError("\(axis): '\(piece)' is no whole number and no range such as 1..3")
            }
        }
        try requireDistinct(numbers, axis)
        return numbers
    }

    private static func integers<Number: FixedWidthInteger>(_ piece: String) -> ClosedRange<Number>? {
        guard let (low, high) = piece.parts(around: ".."), let first = Number(low), let last = Number(high),
            first <= last
        else { return nil }
        let (distance, overflows) = last.subtractingReportingOverflow(first)
        return overflows || distance >= mostRuns ? nil : first...last
    }

    /// Rounded to 6 digits, so that tables can be read; the ends are exact.
    private static func logarithmic(_ piece: String) -> [Double]? {
        guard let (low, rest) = piece.parts(around: "..."), let (high, number) = rest.parts(around: ":"),
            let first = Double(low), let last = Double(high), let count = Int(number),
            first > 0, last > first, last.isFinite, (2...1000).contains(count)
        else { return nil }
        return (0..<count).map { index in
            if index == 0 { return first }
            if index == count - 1 { return last }
            let exponent = Double(index) / Double(count - 1)
            let rate = first * power(last / first, exponent)
            return Double(rate.text(digits: 6)) ?? rate
        }
    }

    private static func pieces(
        _ text: String, _ separator: Character, _ axis: String
    ) throws(ConfigError) -> [String] {
        let pieces = text.split(separator: separator, omittingEmptySubsequences: false).map { $0.trimmed }
        guard pieces.allSatisfy({ !$0.isEmpty }) else {
            throw ConfigError(
                "\(axis): '\(text)' has an empty place; separate values by single "
                    + (separator == "," ? "commas" : "semicolons"))
        }
        return pieces
    }

    private static func requireDistinct<Value: Hashable>(
        _ values: [Value], _ axis: String
    ) throws(ConfigError) {
        var seen: Set<Value> = []
        for value in values where !seen.insert(value).inserted {
            throw ConfigError("\(axis): \(value) appears twice")
        }
    }
}

extension StringProtocol {
    func parts(around separator: String) -> (String, String)? {
        guard let at = firstRange(of: separator) else { return nil }
        return (String(self[..<at.lowerBound]), String(self[at.upperBound...]))
    }

    var trimmed: String {
        var text = self[...]
        while text.first?.isWhitespace == true { text.removeFirst() }
        while text.last?.isWhitespace == true { text.removeLast() }
        return String(text)
    }
}
