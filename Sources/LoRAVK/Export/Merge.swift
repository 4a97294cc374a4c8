// An adapter folded into the weights of its model: a Hugging Face folder gives a folder, a GGUF file a GGUF file. Tensor
// by tensor and row by row, so that memory holds one module's matrices, and with a report of what the stored types lose.

import Checkpoints

package struct MergeConfig: Sendable, Equatable {
    /// The type of the merged weights, in a folder of all tensors. nil: as in the model, but of quantised weights the first
    /// of their own type, Q8_0, F16 and F32 that keeps the update.
    package var type: StorageType?
    /// Of a GGUF file: all tensors are stored as llama.cpp stores files of this type, not only those that are merged.
    package var fileType: FileType?
    /// The most bytes of one file of a folder, unless a single tensor is larger.
    package var maxShardBytes = Defaults.maxShardBytes

    package init() {}

    /// What people name by one word: of a GGUF file a plain type is that of the merged weights, others say how all are stored.
    package mutating func store(as type: FileType, _ model: Checkpoint) {
        if model.format == .gguf, type.isPlain { self.type = type.base } else { fileType = type }
    }
}

package enum Merge {
    /// Writes the merged model to `out`, which appears when it is complete. A folder must not be there yet; a file is
    /// replaced.
    package static func write(
        _ adapter: AdapterFiles, into model: Checkpoint, to out: String, config: MergeConfig = MergeConfig(),
        observer: ExportObserver = ExportObserver()
    ) throws(FileError) -> MergeReport {
        let isGGUF = model.format == .gguf || out.lowercased().hasSuffix(".gguf")
        let plan = try MergePlan(
            adapter.matched(to: model), model, config, out, to: isGGUF ? .gguf : .huggingFace)
        try ModelFiles.write(plan, observer)
        return try plan.report()
    }
}
