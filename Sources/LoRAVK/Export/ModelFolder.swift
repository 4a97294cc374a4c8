// A folder to hand on: the merged GGUF file, the adapter, a Modelfile for Ollama, and a model card with what is known of the training.

import Checkpoints
import Tokenizer

package enum ModelFolder {
    /// Merges into `folder`, which must not be there yet and appears when it is complete. `name`: of the GGUF file in it.
    package static func write(
        _ adapter: AdapterFiles, into model: Checkpoint, to folder: String, name: String,
        config: MergeConfig = MergeConfig(), observer: ExportObserver = ExportObserver()
    ) throws(FileError) -> MergeReport {
        guard ((try? FileSystem.names(in: folder)) ?? []).isEmpty, !FileSystem.isFile(folder) else {
            throw FileError(folder, "is there already", remedy: "name a folder that is not there yet")
        }
        let target = try AtomicFolder(folder)
        let report = try Merge.write(
            adapter, into: model, to: "\(target.temporary)/\(name)", config: config, observer: observer)
        let tokenizer = try Tokenizer.load(for: model)
        try AtomicFile.write(
            modelfile(name, tokenizer, OllamaTemplate(tokenizer)), to: "\(target.temporary)/Modelfile")
        try AtomicFile.write(
            ModelCard(adapter, model, report, file: name).text, to: "\(target.temporary)/README.md")
        // Behind all else: a folder inside the temporary one would outlive an error.
        let own = "\(target.temporary)/adapter"
        let files = [AdapterFiles.configName, AdapterFiles.weightsName]
        let contents = try files.map { (file) throws(FileError) in
            try FileSystem.contents(of: "\(adapter.folder)/\(file)")
        }
        try FileSystem.makeFolder(own)
        for (file, bytes) in zip(files, contents) { try AtomicFile.write(bytes, to: "\(own)/\(file)") }
        try target.commit()
        return report
    }

    /// Without a template of its own Ollama goes by the one in the GGUF file.
    private static func modelfile(_ name: String, _ tokenizer: Tokenizer, _ template: OllamaTemplate?)
        -> String
    {
        var lines = ["FROM ./\(name)"]
        if let template {
            lines.append("TEMPLATE \"\"\"\(template.source)\"\"\"")
            if let system = template.system { lines.append("SYSTEM \"\"\"\(system)\"\"\"") }
        } else {
            lines.append("# No TEMPLATE: Ollama takes the chat template that is in the GGUF file.")
        }
        let stops = tokenizer.specialIDs.stops.sorted().compactMap(tokenizer.token)
        lines += stops.map { "PARAMETER stop \"\($0)\"" }
        lines.append("PARAMETER temperature \(Defaults.temperature)")
        return lines.joined(separator: "\n") + "\n"
    }
}
