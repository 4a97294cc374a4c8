// The output folder of a run, which one run at a time may have: the adapter, metrics.jsonl, and until the run has finished the state
// that it goes on from, with the steps that are done, the settings that it is a run of, and what computed it.

import Checkpoints
import VulkanCompute

final class RunFolder {
    let path: String
    /// Steps that were done before: 0 for a run that begins.
    let firstStep: Int
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
            let state = try TrainingState(file, for: trainer.adapter)
            metrics = try MetricsFile(metricsPath, after: done)
            try trainer.restore(state)
            firstStep = done
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
            (firstStep, warning) = (0, nil)
            // The old adapter stays until the first save, and must not be taken for this run's.
            try hasAdapter ? save(trainer, done: 0) : removeState()
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

    func save(_ trainer: Trainer, done: Int) throws {
        let notes = [Self.doneKey: "\(done)", Self.computerKey: computer]
        try trainer.saveState(to: Self.state(in: path), notes: notes.merging(settings.notes) { $1 })
    }

    func removeState() throws(FileError) {
        if holdsState { try FileSystem.remove(Self.state(in: path)) }
    }
}
