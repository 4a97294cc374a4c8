// A model in another format or other types: a Hugging Face folder as a GGUF file, a GGUF file as a folder, either with its weights
// stored otherwise. Tensor by tensor, so that memory holds rows of one.

import Checkpoints

package enum Convert {
    /// Writes the model to `out`, a GGUF file where the name ends so, else a folder; it appears when it is complete.
    /// `type`: of the weights; nil: as they are, or in a folder the plain type nearest to that.
    package static func write(
        _ model: Checkpoint, to out: String, type: FileType? = nil,
        maxShardBytes: Int = Defaults.maxShardBytes, observer: ExportObserver = ExportObserver()
    ) throws(FileError) {
        var config = MergeConfig()
        (config.fileType, config.maxShardBytes) = (type, maxShardBytes)
        let isGGUF = out.lowercased().hasSuffix(".gguf")
        let plan = try MergePlan(nil, model, config, out, to: isGGUF ? .gguf : .huggingFace)
        try ModelFiles.write(plan, observer)
    }
}
