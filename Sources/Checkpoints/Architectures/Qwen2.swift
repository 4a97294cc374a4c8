// Qwen 2 and 2.5: Llama with a bias on q, k and v.

package struct Qwen2: Architecture {
    package let models = "Qwen 2 and 2.5"
    package let modelTypes = ["qwen2"]
    package let gguf: String? = "qwen2"
    package let defaults: JSON.Object = ["num_key_value_heads": .integer(32)]
    package let tiny: JSON.Object = [:]
    package init() {}

    package func describe(_ file: ModelFile) throws(FileError) -> ModelSpec {
        var model = try Llama().describe(file)
        let windows = try file.optionalWindowsAbove()
        try model.changeAttention { branch, attention, layer in
            branch.storesRowsInOrder()
            for index in branch.inputs.indices { branch.inputs[index].hasBias = true }
            branch.output?.hasBias = false
            attention.window = windows[layer.index]
        }
        return model
    }
}
