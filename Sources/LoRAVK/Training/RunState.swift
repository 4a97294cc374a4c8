// What lies in the folder of an unfinished run so that it can go on: the trainer's state, and beside it how many steps of the run are
// done, of which settings it is, and on which device it ran.

import Checkpoints
import VulkanCompute

struct RunState {
    /// What a folder holds, checked.
    struct Saved {
        let state: TrainingState
        let done: Int
        /// Why the bits may be others, where they may.
        let warning: String?
    }

    private let folder: String
    private let settings: RunSettings
    private let device: String
    private var path: String { "\(folder)/\(TrainingState.fileName)" }

    private static let (doneKey, settingsKey) = ("lora_vk.run.steps", "lora_vk.run.settings")
    private static let deviceKey = "lora_vk.run.device"

    init(_ folder: String, _ settings: RunSettings, on device: Device) {
        (self.folder, self.settings) = (folder, settings)
        self.device = "\(device.capabilities.name), \(device.capabilities.driver)"
    }

    var exists: Bool { FileSystem.exists(path) }

    private var holdsAdapter: Bool { FileSystem.exists("\(folder)/\(AdapterFiles.configName)") }

    // MARK: Going on

    /// The state in the folder, where there is one; it must be of this run.
    func saved(for adapter: Adapter, steps: Int) throws(FileError) -> Saved? {
        guard exists else { return nil }
        // Other options often mean other tensors too: what is said of the options explains more.
        let file = try SafetensorsFile(path)
        if let text = file.metadata[Self.settingsKey] {
            let saved = try JSONFields(JSON.parse(Array(text.utf8), path: path), path: path)
            let differences = settings.differences(from: saved.object)
            guard differences.isEmpty else {
                throw FileError(
                    path, "is of a run with other settings: \(differences.joined(separator: "; "))",
                    remedy: "give the options of that run, or begin anew with --overwrite")
            }
        }
        let state = try TrainingState(path, for: adapter)
        guard state.notes[Self.settingsKey] != nil, let text = state.notes[Self.doneKey] else {
            throw FileError(
                path, "was not saved by a run: it lacks '\(Self.doneKey)'", remedy: "choose another folder")
        }
        guard let done = Int(text), (0..<steps).contains(done) else {
            throw FileError(
                path, "'\(Self.doneKey)' is '\(text.shortened)', expected an integer from 0 to \(steps - 1)")
        }
        return Saved(state: state, done: done, warning: warning(state.notes[Self.deviceKey] ?? "unknown"))
    }

    private func warning(_ before: String) -> String? {
        before == device
            ? nil
            : "the run began on another device or driver (\(before.shortened)) and goes on on \(device): "
                + "the last bits of its numbers may become others"
    }

    // MARK: Beginning

    /// Makes the folder one that a run may begin in, or says why it is none.
    func begin(overwrites: Bool, resumes: Bool) throws(FileError) {
        if !overwrites, exists || holdsAdapter {
            throw resumes
                ? FileError(
                    folder,
                    "holds an adapter without a training state: its run finished, or could not save one",
                    remedy:
                        "go on from the adapter with a new optimizer (--adapter), or begin anew with --overwrite"
                )
                : FileError(
                    folder, "already holds \(exists ? "an unfinished run" : "an adapter")",
                    remedy: (exists ? "go on with it by --resume, " : "")
                        + "choose another folder, or overwrite it with --overwrite")
        }
        try remove()
    }

    // MARK: Saving

    func save(_ trainer: Trainer, done: Int) throws {
        let notes = [
            Self.doneKey: "\(done)", Self.settingsKey: settings.text, Self.deviceKey: device,
        ]
        try trainer.saveState(to: path, notes: notes)
    }

    func remove() throws(FileError) {
        if exists { try FileSystem.remove(path) }
    }
}
