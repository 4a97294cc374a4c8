// An architecture that is in no paper: attention and feed-forward change places, squared ReLU, two layers that look back a window for one
// that does not rotate. What a new architecture needs is this file and a line.

import Checkpoints

struct MadeUpArchitecture: Architecture {
    let models = "Sandwich"
    let modelTypes = ["sandwich"]
    let gguf: String? = "sandwich"
    let tiny: JSON.Object = ["num_hidden_layers": .integer(3), "sliding_window": .integer(4)]

    func describe(_ file: ModelFile) throws(FileError) -> ModelSpec {
        var model = try Llama().describe(file)
        let windows = try file.windows { $0 % 3 != 2 }
        try model.changeAttention { _, attention, layer in
            attention.window = windows[layer.index]
            if attention.window == nil { attention.rope = nil }
        }
        try model.changeFeedForward { branch, _ in
            branch.mixer = .activation(ActivationSpec(.relu2, isGated: true))
        }
        for block in model.blocks.indices { model.blocks[block].swapAt(0, 1) }
        return model
    }
}
