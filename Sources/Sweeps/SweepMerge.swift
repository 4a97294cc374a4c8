// Parts of one sweep, each of a folder of its own, as one folder.

import Checkpoints
import LoRAVK
import Reports

extension SweepStore {
    /// Takes the results, the logs and the best adapter of `folders` into a folder, beside what is there. They must be of sweeps with the
    /// same settings.
    package static func merge(_ folders: [String], into out: String) throws -> SweepStore {
        guard Set(folders).count == folders.count, !folders.contains(out) else {
            throw ConfigError("a folder is named twice; name each part once, and another folder for all")
        }
        var merged: SweepStore?
        for folder in folders {
            guard let begun = try begun(in: folder) else {
                throw FileError(folder, "holds no sweep", remedy: "name folders of `lora-vk sweep --part`")
            }
            let part = try SweepStore(folder, settings: [:])
            let store = try merged ?? SweepStore(out, settings: part.comparedSettings, begun: begun)
            if merged != nil { _ = try SweepStore(out, settings: part.comparedSettings) }
            merged = store
            try store.take(part)
        }
        guard let merged else { throw ConfigError("no part is named") }
        return merged
    }

    private var comparedSettings: JSON.Object {
        get throws {
            var object = JSON.Object()
            for (key, value) in try settings() where key != Self.begunKey {
                object[key] = try JSON.parse(Array(value.utf8), path: folder)
            }
            return object
        }
    }

    private func take(_ part: SweepStore) throws {
        let results = try part.results()
        try add(results.map(\.point))
        let bestRun = try Self.run(ofBest: part.best)
        for result in results where try !isDone(result.point) {
            let (source, place) = (part.folder(of: result.point), folder(of: result.point))
            try FileSystem.makeFolder("\(folder)/\(Self.runsName)")
            try Self.copy([RunLog.fileName, RunLog.optionsName], from: source, to: place)
            // A part's best is entered with its adapter; its other runs are no better.
            let isBest = result.point.folderName == bestRun
            try save(result, keep: isBest ? { try Self.copyAll(from: part.best, to: $0) } : nil)
        }
    }

    private static func run(ofBest folder: String) throws -> String? {
        let path = "\(folder)/\(resultName)"
        guard FileSystem.exists(path) else { return nil }
        return try JSONFields(JSON.read(path), path: path).string("run")
    }

    private static func copyAll(from folder: String, to place: String) throws(FileError) {
        try copy(FileSystem.names(in: folder), from: folder, to: place)
    }

    private static func copy(_ names: [String], from folder: String, to place: String) throws(FileError) {
        try FileSystem.makeFolder(place)
        for name in names {
            if let bytes = try FileSystem.contents(ofExisting: "\(folder)/\(name)") {
                try AtomicFile.write(bytes, to: "\(place)/\(name)")
            }
        }
    }
}
