// SmolLM3: Llama, of which every fourth layer does not rotate.

package struct SmolLM3: Architecture {
    package let models = "SmolLM3"
    package let modelTypes = ["smollm3"]
    package let gguf: String? = "smollm3"
    package let defaults: JSON.Object = [
        "num_key_value_heads": .integer(4), "rope_theta": .double(2_000_000),
        "tie_word_embeddings": .bool(true),
    ]
    package let tiny: JSON.Object = ["num_hidden_layers": .integer(4)]
    package init() {}

    package let className = "SmolLM3ForCausalLM"

    package func complete(_ config: inout JSON.Object, of model: ModelSpec) {
        config["no_rope_layers"] = .array(model.attentions.map { .integer($0.rope == nil ? 0 : 1) })
    }

    package func describe(_ file: ModelFile) throws(FileError) -> ModelSpec {
        var model = try Llama().describe(file)
        let interval = try file.integer(
            ModelKey("no_rope_layer_interval"), in: ModelKey.Range.layers, default: 4)
        let listed = try file.optionalIntegers("no_rope_layers")
        if let listed, listed.count != model.blocks.count {
            throw file.wrong(
                ModelKey("no_rope_layers"), expected: "one number for each of \(model.blocks.count) layers")
        }
        let rotates = listed?.map { $0 != 0 } ?? model.blocks.indices.map { ($0 + 1) % interval != 0 }
        let windows = try file.optionalWindows { !rotates[$0] }
        try model.changeAttention { _, attention, layer in
            if !rotates[layer.index] { attention.rope = nil }
            attention.window = windows[layer.index]
        }
        return model
    }
}
