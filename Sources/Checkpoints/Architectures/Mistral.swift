// Mistral: Llama whose layers look back a window. GGUF has it as llama.

package struct Mistral: Architecture {
    package let models = "Mistral"
    package let modelTypes = ["mistral"]
    package let gguf = Llama().gguf
    package let defaults: JSON.Object = [
        "sliding_window": .integer(4096), "num_key_value_heads": .integer(8),
        "max_position_embeddings": .integer(131_072),
    ]
    package let tiny: JSON.Object = ["sliding_window": .integer(5)]
    package init() {}

    package func describe(_ file: ModelFile) throws(FileError) -> ModelSpec {
        var model = try Llama().describe(file)
        let windows = try file.windows { _ in true }
        try model.changeAttention { _, attention, layer in attention.window = windows[layer.index] }
        return model
    }
}
