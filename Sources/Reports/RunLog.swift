// What a run wrote beside its adapter: a JSON object a step in metrics.jsonl. Every number of it is a curve, whatever its name.

import Checkpoints

package struct RunLog: Sendable {
    package static let fileName = "metrics.jsonl"
    /// The options of a run of a sweep.
    package static let optionsName = "options.json"

    package struct Line: Sendable {
        package let step: Int
        /// In the file's order, without the step.
        package let numbers: [(key: String, value: Double)]
        /// What the model answered at this step, by prompt.
        package let samples: [(prompt: String, text: String)]
    }

    /// Of the folder.
    package let name: String
    package let folder: String
    package let lines: [Line]
    /// What adapter_config.json says of the adapter, if there is one; of a run of a sweep its options.
    package let settings: [(key: String, value: String)]

    /// A folder of `train`.
    package init(_ folder: String) throws(FileError) {
        self.folder = folder
        name = FileSystem.name(of: folder)
        let path = "\(folder)/\(Self.fileName)"
        guard let bytes = try FileSystem.contents(ofExisting: path) else {
            throw FileError(
                folder, "has no \(Self.fileName)", remedy: "name the folder of a run (train --out)")
        }
        var lines: [Line] = []
        let rows = bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
        // Behind the last line end there is nothing, or a line that is still being written.
        for (index, row) in rows.dropLast().enumerated() where !row.isEmpty {
            lines.append(try Self.line(Array(row), path, index + 1))
        }
        self.lines = lines
        settings = try Self.settings(folder)
    }

    /// The steps that have this number, and the number.
    package func curve(_ key: String) -> [(step: Int, value: Double)] {
        lines.compactMap { line in
            line.numbers.first { $0.key == key }.map { (line.step, $0.value) }
        }
    }

    /// Names of all numbers, in the order in which they first appear.
    package var keys: [String] {
        var found: [String] = []
        var seen: Set<String> = []
        for line in lines {
            for number in line.numbers where seen.insert(number.key).inserted { found.append(number.key) }
        }
        return found
    }

    private static func line(_ bytes: [UInt8], _ path: String, _ number: Int) throws(FileError) -> Line {
        var step: Int?
        var numbers: [(String, Double)] = []
        var samples: [(String, String)] = []
        let value: JSON
        do { value = try JSON.parse(bytes, path: path) } catch {
            throw FileError(path, at: .line(number), error.message)
        }
        guard case .object(let object) = value else {
            throw FileError(path, at: .line(number), "expected an object, as `train` writes them")
        }
        for member in object.members {
            switch member.value {
            case .integer(let whole) where member.key == "step": step = whole
            case .integer(let whole): numbers.append((member.key, Double(whole)))
            case .double(let number) where number.isFinite: numbers.append((member.key, number))
            case .array(let rows) where member.key == "samples": samples = rows.compactMap(sample)
            default: break
            }
        }
        guard let step, step >= 0 else { throw FileError(path, at: .line(number), "has no 'step'") }
        return Line(step: step, numbers: numbers, samples: samples)
    }

    private static func sample(_ value: JSON) -> (String, String)? {
        guard case .object(let object) = value, case .string(let prompt)? = object["prompt"],
            case .string(let text)? = object["text"]
        else { return nil }
        return (prompt, text)
    }

    /// The keys that people look for.
    private static let settingKeys = [
        "base_model_name_or_path", "peft_type", "r", "lora_alpha", "lora_dropout", "use_rslora", "use_dora",
        "init_lora_weights", "target_modules",
    ]

    private static func settings(_ folder: String) throws(FileError) -> [(key: String, value: String)] {
        let (options, path) = ("\(folder)/\(optionsName)", "\(folder)/\(AdapterFiles.configName)")
        if FileSystem.exists(options), case .object(let object) = try JSON.read(options) {
            return object.members.map { ($0.key, text($0.value)) }
        }
        guard FileSystem.exists(path), case .object(let object) = try JSON.read(path) else { return [] }
        return settingKeys.compactMap { key in
            switch object[key] {
            case nil, .null?, .bool(false)?: nil
            case .string(let text)?: (key, text)
            case .array(let items)?: (key, items.map(Self.text).joined(separator: ", "))
            case let value?: (key, Self.text(value))
            }
        }
    }

    private static func text(_ value: JSON) -> String {
        if case .string(let text) = value { text } else { value.text(.compact) }
    }
}
