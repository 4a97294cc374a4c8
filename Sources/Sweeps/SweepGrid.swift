// The runs of a sweep. A grid is every combination of the values of its axes; points are combined with the axes that they do not
// name; what an exclusion describes is left out.
//
//   axes   lr: 1e-4 1e-3   seed: 1 2          points   method=lora            4 runs
//                                                      method=dora,lr=1e-3    2 runs

import Checkpoints
import LoRAVK

package struct SweepGrid: Sendable {
    /// The long options of `train` that a run can have of its own.
    private let names: [String]
    private var axes: [SweepAxis]
    private var points: [[SweepAxis]] = []
    private var excluded: [[SweepAxis]] = []

    /// Those that every run has, and in which order they change: the first the slowest.
    private static let usual = ["method", "init", "rank"]

    /// `names`: what may be an axis beside method, init, rank, lr and seed.
    package init(_ names: [String] = []) {
        self.names =
            Self.usual + names.filter { !Self.usual.contains($0) && !["lr", "seed"].contains($0) }
            + ["lr", "seed"]
        let values = [
            "method": Defaults.method, "init": "kaiming", "rank": "\(Defaults.rank)",
            "lr": "\(Defaults.learningRate)", "seed": "0",
        ]
        axes = []
        for name in self.names {
            if let value = values[name], let axis = try? SweepAxis(name, value) { axes.append(axis) }
        }
    }

    /// The values of an axis; none where the grid has no such axis.
    package func values(_ name: String) -> [String] { axes.first { $0.name == name }?.values ?? [] }

    /// All whose values the runs have of their own.
    package var axisNames: Set<String> {
        Set((axes + points.joined()).map(\.name))
    }

    package mutating func set(_ name: String, _ text: String) throws(ConfigError) {
        try require(name)
        set(try SweepAxis(name, text))
    }

    private mutating func set(_ axis: SweepAxis) {
        axes.removeAll { $0.name == axis.name }
        axes.append(axis)
    }

    /// `alpha=8,16`.
    package mutating func setAxis(_ text: String) throws(ConfigError) {
        guard let (name, values) = text.parts(around: "=") else {
            throw ConfigError("--axis '\(text)' is not of the form name=value,value")
        }
        try set(name.trimmed, values)
    }

    /// `method=lora+:ratio=4,lr=1e-3`
    package mutating func addPoint(_ text: String) throws(ConfigError) { points.append(try settings(text)) }

    /// Leaves out the runs that have all of these settings.
    package mutating func exclude(_ text: String) throws(ConfigError) { excluded.append(try settings(text)) }

    /// A comma begins a new setting where the name of an option stands behind it.
    private func settings(_ text: String) throws(ConfigError) -> [SweepAxis] {
        var settings: [(name: String, value: String)] = []
        for piece in text.split(separator: ",", omittingEmptySubsequences: false).map({ $0.trimmed }) {
            let sides = piece.parts(around: "=")
            if let (name, value) = sides, settings.isEmpty || names.contains(name.trimmed) {
                try require(name.trimmed)
                settings.append((name.trimmed, value.trimmed))
            } else if let last = settings.popLast() {
                settings.append((last.name, "\(last.value),\(piece)"))
            } else {
                throw ConfigError("'\(text)' is not of the form name=value,name=value")
            }
        }
        guard Set(settings.map(\.name)).count == settings.count else {
            throw ConfigError("'\(text)' names an option twice")
        }
        return try settings.map { setting throws(ConfigError) in
            try SweepAxis(setting.name, pieces: [setting.value])
        }
    }

    private func require(_ name: String) throws(ConfigError) {
        guard names.contains(name) else {
            throw ConfigError("'\(name)' is no axis; there are \(names.joined(separator: ", "))")
        }
    }

    // MARK: Files

    /// A JSON object of axes: `{"lr": "1e-5...1e-2:7", "init": ["kaiming", "init-b"], "seed": [1, 2, 3]}`.
    package mutating func read(axes path: String) throws {
        for axis in try axes(JSONFields(JSON.read(path), path: path)) { set(axis) }
    }

    /// A JSON array of points; a list among the values of one makes it a grid of its own.
    package mutating func read(points path: String) throws {
        guard case .array(let entries) = try JSON.read(path) else {
            throw FileError(path, "expected an array of points, each an object of options")
        }
        for entry in entries { points.append(try axes(JSONFields(entry, path: path))) }
    }

    private func axes(_ fields: JSONFields) throws -> [SweepAxis] {
        try fields.object.members.map { member in
            guard names.contains(member.key) else {
                throw FileError(
                    fields.path, "'\(member.key)' is no axis; there are \(names.joined(separator: ", "))")
            }
            if case .string(let text) = member.value { return try SweepAxis(member.key, text) }
            let values = if case .array(let values) = member.value { values } else { [member.value] }
            let pieces = try values.map { value throws(FileError) in
                switch value {
                case .string(let text): text
                case .integer(let number): "\(number)"
                case .double(let number): "\(number)"
                case .bool(let isOn): "\(isOn)"
                default: throw fields.wrong(member.key, holding: value, expected: "texts and numbers")
                }
            }
            return try SweepAxis(member.key, pieces: pieces)
        }
    }

    // MARK: Runs

    /// Each once. Seeds change last, so that a sweep that is cut short has whole curves rather than many seeds of one.
    package var runs: [SweepPoint] {
        get throws(ConfigError) {
            var (found, seen, ofSeed): ([SweepPoint], Set<SweepPoint>, [[SweepPoint]]) = ([], [], [])
            for own in points.isEmpty ? [[]] : points {
                let named = Set(own.map(\.name))
                let all = (axes.filter { !named.contains($0.name) } + own).sorted {
                    place($0.name) < place($1.name)
                }
                for (index, runs) in try combinations(all).enumerated() {
                    if index == ofSeed.count { ofSeed.append([]) }
                    ofSeed[index] += runs
                }
            }
            for point in ofSeed.joined() where seen.insert(point).inserted && !isExcluded(point) {
                found.append(point)
            }
            guard !found.isEmpty else { throw ConfigError("every run is excluded; leave one") }
            guard found.count <= SweepAxis.mostRuns else { throw Self.tooMany }
            return found
        }
    }

    private func place(_ name: String) -> Int { names.firstIndex(of: name) ?? 0 }

    private static let tooMany = ConfigError(
        "the grid has more than \(SweepAxis.mostRuns) runs; give its axes fewer values")

    /// By seed.
    private func combinations(_ axes: [SweepAxis]) throws(ConfigError) -> [[SweepPoint]] {
        var count = 1
        for axis in axes where count <= SweepAxis.mostRuns { count *= axis.values.count }
        guard count <= SweepAxis.mostRuns else { throw Self.tooMany }
        var runs: [[String: String]] = [[:]]
        for axis in axes where axis.name != "seed" {
            runs = runs.flatMap { run in axis.values.map { run.merging([axis.name: $0]) { $1 } } }
        }
        let others = axes.map(\.name).filter { !(Self.usual + ["lr", "seed"]).contains($0) }
        var points: [[SweepPoint]] = []
        for seed in axes.first(where: { $0.name == "seed" })?.values ?? [] {
            points.append(
                runs.compactMap { run in
                    guard let method = run["method"], let start = run["init"],
                        let rank = run["rank"].flatMap({ Int($0) }),
                        let rate = run["lr"].flatMap({ Double($0) }), let seed = UInt64(seed)
                    else { return nil }
                    return SweepPoint(
                        method: method, initialization: start, rank: rank, learningRate: rate, seed: seed,
                        others: others.compactMap { name in
                            run[name].map { SweepPoint.Setting(name, $0) }
                        })
                })
        }
        return points
    }

    private func isExcluded(_ point: SweepPoint) -> Bool {
        excluded.contains { axes in
            axes.allSatisfy { axis in
                point.settings.contains { $0.name == axis.name && axis.values.contains($0.value) }
            }
        }
    }
}
