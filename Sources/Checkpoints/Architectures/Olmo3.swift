// OLMo 3: OLMo 2, of which three layers look back a window, at plain frequencies, for one that looks back all the way.

package struct Olmo3: Architecture {
    package let models = "OLMo 3"
    package let modelTypes = ["olmo3"]
    package let gguf = Olmo2().gguf
    package let defaults: JSON.Object = [
        "rms_norm_eps": .double(1e-5), "sliding_window": .integer(4096), "rope_theta": .double(500_000),
    ]
    package let tiny: JSON.Object = [
        "num_hidden_layers": .integer(4), "sliding_window": .integer(5), "tie_word_embeddings": .bool(false),
        "rope_scaling": .object([
            "rope_type": .string("yarn"), "factor": .double(4),
            "original_max_position_embeddings": .integer(16),
        ]),
    ]
    package init() {}

    package func describe(_ file: ModelFile) throws(FileError) -> ModelSpec { try Olmo2().describe(file) }
}
