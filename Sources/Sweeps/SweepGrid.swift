// The runs of a sweep: every combination of the values of its axes.

import Checkpoints
import LoRAVK

/// One run.
package struct SweepPoint: Hashable, Sendable {
    package var method: String
    package var initialization: String
    package var rank: Int
    package var learningRate: Double
    package var seed: UInt64

    package init(method: String, initialization: String, rank: Int, learningRate: Double, seed: UInt64) {
        (self.method, self.initialization, self.rank) = (method, initialization, rank)
        (self.learningRate, self.seed) = (learningRate, seed)
    }

    /// What runs share that differ in learning rate and seed: one line of the report.
    package var series: Series { Series(method: method, initialization: initialization, rank: rank) }

    package struct Series: Hashable, Sendable, CustomStringConvertible {
        package var method: String
        package var initialization: String
        package var rank: Int

        package var description: String { "\(method), \(initialization), rank \(rank)" }
    }
}

package struct SweepGrid: Sendable, Equatable {
    package var methods = ["lora"]
    package var initializations = ["kaiming"]
    package var ranks = [8]
    package var learningRates = [Defaults.learningRate]
    package var seeds: [UInt64] = [0]

    private static let mostRuns = 100_000

    package init() {}

    /// Each axis as text; nil leaves it as it is. Lists: `1e-5,3e-5`. Whole numbers from … to: `1..3`. Learning rates spaced
    /// evenly in their logarithms: `1e-5...1e-2:7`.
    package mutating func set(_ texts: SweepAxes) throws(ConfigError) {
        // As they describe themselves, with all their options: one name for one thing.
        if let text = texts.method {
            methods = try Self.names(text, "method") { name throws(ConfigError) in
                try Registries.methods.named(name).description
            }
        }
        if let text = texts.initialization {
            initializations = try Self.names(text, "init") { name throws(ConfigError) in
                try Registries.initializations.named(name).description
            }
        }
        if let text = texts.rank { ranks = try Self.integers(text, "rank") }
        if let text = texts.learningRate { learningRates = try Self.rates(text) }
        if let text = texts.seed { seeds = try Self.integers(text, "seed") }
    }

    /// Seeds change last, so that a sweep that is cut short has whole curves rather than many seeds of one.
    package var points: [SweepPoint] {
        get throws(ConfigError) {
            let counts = [
                methods.count, initializations.count, ranks.count, learningRates.count, seeds.count,
            ]
            var count = 1
            for factor in counts where count <= Self.mostRuns { count *= factor }
            guard count <= Self.mostRuns else {
                throw ConfigError("the grid has more than \(Self.mostRuns) runs; give its axes fewer values")
            }
            var points: [SweepPoint] = []
            for seed in seeds {
                for method in methods {
                    for initialization in initializations {
                        for rank in ranks {
                            for rate in learningRates {
                                points.append(
                                    SweepPoint(
                                        method: method, initialization: initialization, rank: rank,
                                        learningRate: rate, seed: seed))
                            }
                        }
                    }
                }
            }
            return points
        }
    }

    /// A comma parts names, except in front of an option: `rocoft:a=1,b=2,lora` is two names.
    private static func names(
        _ text: String, _ axis: String, _ whole: (String) throws(ConfigError) -> String
    ) throws(ConfigError) -> [String] {
        var names: [String] = []
        for piece in try pieces(text, axis) {
            if piece.contains("="), !piece.contains(":"), let last = names.popLast() {
                names.append("\(last),\(piece)")
            } else {
                names.append(piece)
            }
        }
        return try distinct(names.map(whole), axis)
    }

    private static func integers<Number: FixedWidthInteger>(
        _ text: String, _ axis: String
    ) throws(ConfigError) -> [Number] where Number.Stride: SignedInteger {
        var numbers: [Number] = []
        for piece in try pieces(text, axis) {
            if let number = Number(piece) {
                numbers.append(number)
            } else if let (low, high) = piece.parts(around: ".."), let first = Number(low),
                let last = Number(high), first <= last,
                last.distance(above: first) < mostRuns
            {
                numbers += first...last
            } else {
                throw ConfigError("\(axis): '\(piece)' is no whole number and no range such as 1..3")
            }
        }
        return try distinct(numbers, axis)
    }

    private static func rates(_ text: String) throws(ConfigError) -> [Double] {
        var rates: [Double] = []
        for piece in try pieces(text, "lr") {
            if let rate = Double(piece), rate > 0, rate.isFinite {
                rates.append(rate)
            } else if let (low, rest) = piece.parts(around: "..."),
                let (high, number) = rest.parts(around: ":"),
                let first = Double(low), let last = Double(high), let count = Int(number),
                first > 0, last > first, last.isFinite, (2...1000).contains(count)
            {
                rates += logarithmic(first, last, count)
            } else {
                throw ConfigError(
                    "lr: '\(piece)' is no positive number and no range such as 1e-5...1e-2:7")
            }
        }
        return try distinct(rates, "lr")
    }

    /// Rounded to 6 digits, so that tables can be read; the ends are exact.
    private static func logarithmic(_ first: Double, _ last: Double, _ count: Int) -> [Double] {
        (0..<count).map { index in
            if index == 0 { return first }
            if index == count - 1 { return last }
            let exponent = Double(index) / Double(count - 1)
            let rate = first * power(last / first, exponent)
            return Double(rate.text(digits: 6)) ?? rate
        }
    }

    private static func pieces(_ text: String, _ axis: String) throws(ConfigError) -> [String] {
        let pieces = text.split(separator: ",", omittingEmptySubsequences: false).map { $0.trimmed }
        guard pieces.allSatisfy({ !$0.isEmpty }) else {
            throw ConfigError("\(axis): '\(text)' has an empty place; separate values by single commas")
        }
        return pieces
    }

    private static func distinct<Value: Hashable>(_ values: [Value], _ axis: String) throws(ConfigError)
        -> [Value]
    {
        var seen: Set<Value> = []
        for value in values where !seen.insert(value).inserted {
            throw ConfigError("\(axis): \(value) appears twice")
        }
        return values
    }
}

/// The axes of a grid as people write them.
package struct SweepAxes: Sendable, Equatable {
    package var method: String?
    package var initialization: String?
    package var rank: String?
    package var learningRate: String?
    package var seed: String?

    package init() {}

    private static let keys: [(String, WritableKeyPath<SweepAxes, String?> & Sendable)] = [
        ("method", \.method), ("init", \.initialization), ("rank", \.rank), ("lr", \.learningRate),
        ("seed", \.seed),
    ]

    /// A JSON object of the axes: `{"lr": "1e-5...1e-2:7", "init": ["kaiming", "init-b"], "seed": [1, 2, 3]}`.
    package init(file path: String) throws {
        let fields = try JSONFields(JSON.read(path), path: path)
        for key in fields.object.keys where !Self.keys.contains(where: { $0.0 == key }) {
            throw FileError(
                path, "'\(key)' is no axis; there are \(Self.keys.map(\.0).joined(separator: ", "))")
        }
        for (key, part) in Self.keys {
            guard let value = fields[key] else { continue }
            let values = if case .array(let values) = value { values } else { [value] }
            self[keyPath: part] = try values.map { value throws(FileError) in
                switch value {
                case .string(let text): text
                case .integer(let number): "\(number)"
                case .double(let number): "\(number)"
                default: throw fields.wrong(key, holding: value, expected: "texts and numbers")
                }
            }.joined(separator: ",")
        }
    }
}

extension FixedWidthInteger {
    /// self − other where that fits, the largest number where it does not.
    fileprivate func distance(above other: Self) -> Self {
        let (difference, overflows) = subtractingReportingOverflow(other)
        return overflows ? .max : difference
    }
}

extension StringProtocol {
    fileprivate func parts(around separator: String) -> (String, String)? {
        guard let at = firstRange(of: separator) else { return nil }
        return (String(self[..<at.lowerBound]), String(self[at.upperBound...]))
    }

    fileprivate var trimmed: String {
        var text = self[...]
        while text.first?.isWhitespace == true { text.removeFirst() }
        while text.last?.isWhitespace == true { text.removeLast() }
        return String(text)
    }
}
