// The output folder of a run, which one run at a time may have: the adapter, metrics.jsonl, and until the run has finished the state
// that it goes on from, with the steps that are done, the settings that it is a run of, and what computed it.

import Checkpoints
import VulkanCompute

final class RunFolder {
    let path: String
    /// Steps that were done before: 0 for a run that begins.
    let firstStep: Int
    /// What the run that goes on had seen of its validations.
    let watch: ValidationWatch
    /// Why the bits may be others than an undisturbed run's, where they may.
    let warning: String?
    private let settings: RunSettings
    private let computer: String
    private var lock: DirectoryLock
    private var metrics: MetricsFile

    private static let (doneKey, computerKey) = ("lora_vk.done", "lora_vk.computer")

    /// Takes the folder, making it where needed, and puts the trainer where a saved run of the same settings was (`resumes`); or says
    /// why the run can neither go on nor begin there.
    init(
        _ path: String, _ trainer: Trainer, _ settings: RunSettings, steps: Int, overwrites: Bool,
        resumes: Bool
    ) throws {
        try FileSystem.makeFolder(path)
        lock = try DirectoryLock(path)
        (self.path, self.settings) = (path, settings)
        let device = trainer.model.device.capabilities
        computer = "\(device.name), \(device.driver), LoRA-VK \(version)"
        let metricsPath = "\(path)/metrics.jsonl"
        if resumes, FileSystem.exists(Self.state(in: path)) {
            let file = try SafetensorsFile(Self.state(in: path))
            // Other options often mean other tensors too: what is said of the options explains more.
            let done = try Self.done(file, settings, steps: steps)
            let state = try TrainingState(file, for: trainer)
            metrics = try MetricsFile(metricsPath, after: done)
            try trainer.restore(state)
            firstStep = done
            watch = ValidationWatch(file.metadata)
            let before = file.metadata[Self.computerKey] ?? "unknown"
            warning =
                before == computer
                ? nil
                : "the run began on \(before.shortened) and goes on on \(computer): the last bits of its numbers "
                    + "may become others"
        } else {
            let hasAdapter = FileSystem.exists("\(path)/\(AdapterFiles.configName)")
            if !overwrites { try Self.requireFree(path, hasAdapter: hasAdapter, resumes: resumes) }
            metrics = try MetricsFile(metricsPath)
            (firstStep, warning, watch) = (0, nil, ValidationWatch())
            removeCheckpoints(where: { _ in true })
            // The old adapter stays until the first save, and must not be taken for this run's.
            try hasAdapter ? save(trainer, done: 0, watch) : removeState()
        }
    }

    private static func state(in folder: String) -> String { "\(folder)/\(TrainingState.fileName)" }

    private static func done(
        _ file: SafetensorsFile, _ settings: RunSettings, steps: Int
    ) throws(FileError) -> Int {
        guard let text = file.metadata[doneKey] else {
            throw FileError(
                file.path, "was not saved by a run: it lacks '\(doneKey)'", remedy: "choose another folder")
        }
        let differences = settings.differences(from: file.metadata)
        guard differences.isEmpty else {
            throw FileError(
                file.path, "is of a run with other settings: \(differences.joined(separator: "; "))",
                remedy: "give the options of that run, or begin anew with --overwrite")
        }
        guard let done = UInt32(text), done < steps else {
            throw FileError(
                file.path, "'\(doneKey)' is '\(text.shortened)', expected an integer from 0 to \(steps - 1)")
        }
        return Int(done)
    }

    private static func requireFree(_ path: String, hasAdapter: Bool, resumes: Bool) throws(FileError) {
        if FileSystem.exists(state(in: path)) {
            throw FileError(
                path, "already holds an unfinished run",
                remedy:
                    "go on with it by --resume, choose another folder, or overwrite it with --overwrite")
        }
        guard hasAdapter else { return }
        throw resumes
            ? FileError(
                path,
                "holds an adapter without a training state: its run finished, or could not save one",
                remedy:
                    "go on from the adapter with a new optimizer (--adapter), or begin anew with --overwrite")
            : FileError(
                path, "already holds an adapter",
                remedy: "choose another folder, or overwrite it with --overwrite")
    }

    /// The settings of the run that is saved in a folder; empty where there is none.
    static func notes(of folder: String) -> [String: String] {
        guard FileSystem.exists(state(in: folder)), let file = try? SafetensorsFile(state(in: folder)) else {
            return [:]
        }
        return file.metadata
    }

    // MARK: During the run

    /// Whether a run with `resumes` goes on from what is in the folder now.
    var holdsState: Bool { FileSystem.exists(Self.state(in: path)) }

    /// Makes and locks the folder again where somebody removed it; returns what to tell then.
    func retake() throws(FileError) -> String? {
        guard !lock.isInPlace else { return nil }
        try FileSystem.makeFolder(path)
        lock = try DirectoryLock(path)
        metrics = try MetricsFile(continuing: "\(path)/metrics.jsonl")
        return "\(path) was removed while the run was writing into it; it was made again, and the run goes on"
    }

    func append(_ progress: RunProgress) throws(FileError) { try metrics.append(progress) }

    func save(_ trainer: Trainer, done: Int, _ watch: ValidationWatch) throws {
        try trainer.saveState(to: Self.state(in: path), notes: notes(done, watch))
        try removeBest(but: watch.bestStep)
    }

    private func notes(_ done: Int, _ watch: ValidationWatch) -> [String: String] {
        [Self.doneKey: "\(done)", Self.computerKey: computer].merging(settings.notes) { $1 }
            .merging(watch.notes) { $1 }
    }

    func removeState() throws(FileError) {
        if holdsState { try FileSystem.remove(Self.state(in: path)) }
        try removeBest(but: nil)
    }

    // MARK: Checkpoints

    private static let checkpointPrefix = "checkpoint-"

    /// The step of a folder `checkpoint-STEP`.
    private static func step(ofCheckpoint name: String) -> Int? {
        guard name.hasPrefix(checkpointPrefix) else { return nil }
        let number = name.dropFirst(checkpointPrefix.count)
        return number.allSatisfy { ("0"..."9").contains($0) } ? Int(number) : nil
    }

    /// A folder of its own with the adapter and the state, of which only so many of the last stay.
    func saveCheckpoint(
        _ trainer: Trainer, done: Int, _ watch: ValidationWatch, keeping count: Int
    ) throws {
        let place = "\(path)/\(Self.checkpointPrefix)\(done)"
        AtomicFolder.remove(place)
        let folder = try AtomicFolder(place)
        try trainer.adapter.save(to: folder.temporary)
        try trainer.saveState(to: Self.state(in: folder.temporary), notes: notes(done, watch))
        try folder.commit()
        let steps = try FileSystem.names(in: path).compactMap(Self.step(ofCheckpoint:)).sorted()
        let old = Set(steps.dropLast(count))
        removeCheckpoints(where: old.contains)
    }

    private func removeCheckpoints(where isOld: (Int) -> Bool) {
        for name in (try? FileSystem.names(in: path)) ?? [] {
            if let step = Self.step(ofCheckpoint: name), isOld(step),
                FileSystem.exists(Self.state(in: "\(path)/\(name)"))
            {
                AtomicFolder.remove("\(path)/\(name)")
            }
        }
    }

    // MARK: The best

    private static let (bestPrefix, bestSuffix) = ("best-", ".safetensors")

    func bestPath(_ step: Int) -> String { "\(path)/\(Self.bestPrefix)\(step)\(Self.bestSuffix)" }

    /// The parameters that a saved run had as its best.
    func best(_ watch: ValidationWatch) throws(FileError) -> BestParameters? {
        guard let step = watch.bestStep, FileSystem.exists(bestPath(step)) else { return nil }
        return BestParameters(step: step, file: bestPath(step))
    }

    private func removeBest(but step: Int?) throws(FileError) {
        let kept = step.map { FileSystem.name(of: bestPath($0)) }
        for name in try FileSystem.names(in: path)
        where name.hasPrefix(Self.bestPrefix) && name.hasSuffix(Self.bestSuffix) && name != kept {
            let number = name.dropFirst(Self.bestPrefix.count).dropLast(Self.bestSuffix.count)
            if !number.isEmpty, number.allSatisfy({ ("0"..."9").contains($0) }) {
                try FileSystem.remove("\(path)/\(name)")
            }
        }
    }
}
