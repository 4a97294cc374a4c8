// `--config run.json`: options of a command as a JSON object, put in front of the words of the command line, so that those, which
// come later, overrule them, and so that a wrong name or value is told as it is told of an option.

import Checkpoints

struct ConfigFile {
    let path: String
    /// The words of the command line with the file's in between.
    let words: [String]

    /// nil where the words name no file.
    init?(namedIn words: [String]) throws(FileError) {
        guard let path = Self.path(words), let command = words.first else { return nil }
        self.path = path
        guard ![".yaml", ".yml", ".toml"].contains(where: path.lowercased().hasSuffix) else {
            throw FileError(path, "is YAML or TOML by its name, and options are read from JSON")
        }
        let fields = try JSONFields(JSON.read(path), path: path)
        var options: [String] = []
        let names = OptionNames(of: Train.self)
        for member in fields.object.members {
            let key = member.key
            guard key != "config" else {
                throw FileError(path, "names another file as 'config'", remedy: "put its options here")
            }
            // One that the command line gives too is overruled, lists too.
            if words.contains(where: { $0 == "--\(key)" || $0.hasPrefix("--\(key)=") }) { continue }
            switch member.value {
            case .null, .bool(false):
                // No word of the command line, but a wrong name is one all the same.
                if names[key] == nil { options.append("--\(key)") }
            case .bool(true): options.append("--\(key)")
            case .array(let values):
                let texts = values.compactMap(Self.text)
                guard texts.count == values.count else {
                    throw fields.wrong(key, expected: "an array of words or numbers")
                }
                if Self.repeated.contains(key) {
                    options += texts.map { "--\(key)=\($0)" }
                } else {
                    options.append("--\(key)=\(texts.joined(separator: ","))")
                }
            case .object(let object):
                let texts = object.members.compactMap { inner in
                    Self.text(inner.value).map { "\(inner.key)=\($0)" }
                }
                guard texts.count == object.count else {
                    throw fields.wrong(key, expected: "an object of words or numbers")
                }
                options.append("--\(key)=\(texts.joined(separator: ","))")
            default: options.append("--\(key)=\(Self.text(member.value) ?? "")")
            }
        }
        self.words = [command] + options + words.dropFirst()
    }

    /// Options whose values may hold commas, so that each of a list is given by itself.
    private static let repeated: Set = ["sample"]

    private static func path(_ words: [String]) -> String? {
        let option = "--config"
        for (index, word) in words.enumerated() {
            if word == option, index + 1 < words.count { return words[index + 1] }
            if word.hasPrefix(option + "=") { return String(word.dropFirst(option.count + 1)) }
        }
        return nil
    }

    /// What the command line would have for it.
    private static func text(_ value: JSON) -> String? {
        switch value {
        case .string(let text): text
        case .integer(let number): "\(number)"
        case .double(let number): "\(number)"
        default: nil
        }
    }
}
