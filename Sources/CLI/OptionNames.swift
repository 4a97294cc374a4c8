// The long options of a command, or of a group of options, as its help lists them.

import ArgumentParser

struct OptionNames {
    struct Entry {
        /// The first of its names.
        let name: String
        let takesValue: Bool
    }

    private var entries: [String: Entry] = [:]  // by each of its names
    /// In the order of the help.
    private(set) var names: [String] = []

    init<Arguments: ParsableArguments>(of type: Arguments.Type) {
        for line in type.helpMessage(includeHidden: true, columns: 1000).split(separator: "\n") {
            let head = line.drop { $0 == " " }
            guard line.hasPrefix("  -"), !line.hasPrefix("   ") else { continue }
            let words = head.prefix(upTo: head.firstRange(of: "  ")?.lowerBound ?? head.endIndex).split {
                $0 == " " || $0 == ","
            }
            let long = words.filter { $0.hasPrefix("--") }.map { String($0.dropFirst(2)) }
            guard let first = long.first else { continue }
            names.append(first)
            for name in long {
                entries[name] = Entry(name: first, takesValue: words.contains { $0.hasPrefix("<") })
            }
        }
    }

    subscript(name: String) -> Entry? { entries[name] }

    /// Those of a command line's words that are options of these, but for some: `--name=value`, or `--name` for a flag.
    func options(in words: [String], but left: Set<String>) -> [(name: String, value: String?)] {
        var (found, index): ([(name: String, value: String?)], Int) = ([], 0)
        while index < words.count {
            let word = words[index]
            index += 1
            guard word.hasPrefix("--") else { continue }
            let sides = word.dropFirst(2).split(
                separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard let entry = sides.first.flatMap({ entries[String($0)] }) else { continue }
            var value = sides.count > 1 ? String(sides[1]) : nil
            if entry.takesValue, value == nil, index < words.count {
                value = words[index]
                index += 1
            }
            if !left.contains(entry.name) { found.append((entry.name, value)) }
        }
        return found
    }
}
