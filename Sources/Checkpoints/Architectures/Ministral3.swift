// Ministral 3: Mistral with YaRN, whose queries grow with their position.

package struct Ministral3: Architecture {
    package let models = "Ministral 3"
    package let modelTypes = ["ministral3"]
    package let gguf: String? = "mistral3"
    package let defaults: JSON.Object = [
        "head_dim": .integer(128), "num_key_value_heads": .integer(8), "rms_norm_eps": .double(1e-5),
        "max_position_embeddings": .integer(262_144),
    ]
    package let tiny: JSON.Object = [
        "head_dim": .integer(16), "sliding_window": .integer(9),
        "rope_parameters": .object([
            "rope_type": .string("yarn"), "rope_theta": .double(10_000), "factor": .double(4),
            "original_max_position_embeddings": .integer(8), "beta_fast": .double(32),
            "beta_slow": .double(1),
            "mscale": .double(1), "mscale_all_dim": .double(1), "llama_4_scaling_beta": .double(0.125),
        ]),
    ]
    package init() {}

    package func describe(_ file: ModelFile) throws(FileError) -> ModelSpec {
        var model = try Mistral().describe(file)
        let growth = try file.queryGrowth()
        try model.changeAttention { _, attention, _ in attention.rope?.queryGrowth = growth }
        return model
    }
}
