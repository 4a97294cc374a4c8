// What decides the numbers of a run, as words. Each type lists its own, beside its fields.

struct Settings {
    private(set) var values: [(name: String, value: String)] = []

    mutating func add(_ name: String, _ value: some CustomStringConvertible) {
        values.append((name, value.description))
    }

    mutating func add(_ name: String, _ number: Double) {
        add(name, Int(exactly: number)?.description ?? number.description)
    }

    static func += (settings: inout Settings, more: Settings) { settings.values += more.values }
}
