// An adapter's modules by the names that its base model has here: a text model inside one of texts and images has other names than alone.

extension AdapterFiles {
    /// The same adapter, checked against the base and with its names.
    package func matched(to base: Checkpoint) throws(FileError) -> AdapterFiles {
        let own = base.spec.expectedTensors.map {
            $0.name.split(separator: ".").dropLast().joined(separator: ".")
        }
        let names = Dictionary(first: own.map { (Self.bare($0), $0) })
        let matched = renamed { names[Self.bare($0)] ?? $0 }
        try matched.check(against: base)
        return matched
    }

    private static func bare(_ name: String) -> Substring {
        for prefix in ["model.language_model.", "language_model.model.", "model."]
        where name.hasPrefix(prefix) {
            return name.dropFirst(prefix.count)
        }
        return name[...]
    }
}
