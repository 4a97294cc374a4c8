// A number that something named takes, and how texts write it: `name:option=value,option=value`.

/// `ratio` in `lora+:ratio=16`.
package struct NumberOption: Sendable, Equatable {
    package let name: String
    package let summary: String
    package let range: ClosedRange<Double>
    package var value: Double

    package init(_ name: String, _ value: Double, in range: ClosedRange<Double>, _ summary: String) {
        (self.name, self.value, self.range, self.summary) = (name, value, range, summary)
    }
}

extension [NumberOption] {
    package var text: String {
        isEmpty
            ? ""
            : ":"
                + map { "\($0.name)=\(Int(exactly: $0.value).map(String.init) ?? "\($0.value)")" }.joined(
                    separator: ",")
    }

    /// The value of the option `name`, which its owner is known to take.
    package subscript(name: String) -> Double {
        guard let option = first(where: { $0.name == name }) else {
            preconditionFailure("there is no option '\(name)'")
        }
        return option.value
    }

    /// Sets values by name; `owner` is whose they are, for the error.
    mutating func set(_ values: [(name: String, value: Double)], of owner: String) throws(ConfigError) {
        for (name, value) in values {
            guard let index = firstIndex(where: { $0.name == name }) else {
                let known = isEmpty ? "it takes none" : "it takes \(map(\.name).joined(separator: ", "))"
                throw ConfigError("\(owner) takes no option '\(name)'; \(known)")
            }
            guard self[index].range.contains(value) else {
                let range = self[index].range
                throw ConfigError(
                    "\(owner): \(name) is \(value); it must be \(range.lowerBound) to \(range.upperBound)")
            }
            self[index].value = value
        }
    }
}

/// `name:option=value,option=value`
struct NamedOptions {
    let name: String
    private(set) var values: [(name: String, value: Double)] = []

    init(_ text: String) throws(ConfigError) {
        let parts = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
        name = String(parts[0])
        guard parts.count == 2 else { return }
        for setting in parts[1].split(separator: ",", omittingEmptySubsequences: false) {
            let sides = setting.split(separator: "=", maxSplits: 1)
            guard sides.count == 2, let value = Double(sides[1]), value.isFinite else {
                throw ConfigError(
                    "'\(text)': '\(setting)' is no option; they are written \(name):name=number,name=number")
            }
            values.append((String(sides[0]), value))
        }
    }
}
