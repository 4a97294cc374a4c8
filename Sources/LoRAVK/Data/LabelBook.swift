// The labels of a file's lines. Lines that have integers mean the head's outputs by their numbers. Names are numbered in alphabetical
// order, once all lines are read. An adapter's labels are known before.

import Checkpoints

struct LabelBook {
    private let known: [String]?
    private var found: [String] = []
    private var places: [String: Int] = [:]
    /// Lines have 0 and 1 for each label.
    private var hasNumbers = false

    init(known: [String]? = nil) {
        self.known = known
        if let known { places = Dictionary(first: known.enumerated().map { ($1, $0) }) }
    }

    /// How many labels there are, where they are known.
    var knownCount: Int? { known?.count }

    mutating func noteNumbers() { hasNumbers = true }

    /// A number for the label, until `settle` has the right one.
    mutating func number(_ label: String, _ row: JSONFields, _ key: String) throws(FileError) -> Int32 {
        if let place = places[label] { return Int32(place) }
        if let known {
            if let place = Int(label), known.indices.contains(place) { return Int32(place) }
            let some = known.prefix(8).joined(separator: ", ")
            throw row.wrong(key, expected: "one of the labels \(some)\(known.count > 8 ? ", …" : "")")
        }
        guard found.count < ScoreHead.mostOutputs else {
            throw FileError(
                row.path, "has label number \(found.count + 1); a head has at most \(ScoreHead.mostOutputs)")
        }
        places[label] = found.count
        found.append(label)
        return Int32(found.count - 1)
    }

    /// The names of all labels, by which the examples' numbers are now.
    func settle(_ examples: inout [Example], _ path: String) throws(FileError) -> [String] {
        if let known { return known }
        guard found.isEmpty || !hasNumbers else {
            throw FileError(path, "names the labels of some lines, and has 0 and 1 for each label in others")
        }
        if found.isEmpty {
            // Labels that stand as 0 and 1 have no names.
            guard let count = examples.first(where: { $0.kind == .multilabelled })?.outcome?.values.count
            else {
                return []
            }
            return ScoreHead.numbered(0..<count)
        }
        let numbers = found.compactMap { Int($0) }.filter { $0 >= 0 }
        var (names, order): ([String], [Int])
        if numbers.count == found.count, let largest = numbers.max() {
            guard largest < ScoreHead.mostOutputs else {
                throw FileError(path, "has the label \(largest), expected less than \(ScoreHead.mostOutputs)")
            }
            (names, order) = (ScoreHead.numbered(0..<largest + 1), numbers)
        } else {
            names = found.sorted()
            let places = Dictionary(first: names.enumerated().map { ($1, $0) })
            order = found.map { places[$0] ?? 0 }
        }
        for index in examples.indices {
            switch examples[index].outcome?.kind {
            case .labelled?:
                examples[index].outcome = examples[index].outcome.map {
                    Outcome(label: Int32(order[Int($0.label)]))
                }
            case .multilabelled?:
                let meant = (examples[index].outcome?.values ?? []).map { order[Int($0)] }
                examples[index].outcome = Outcome(
                    .multilabelled, names.indices.map { meant.contains($0) ? 1 : 0 })
            default: break
            }
        }
        return names
    }
}
