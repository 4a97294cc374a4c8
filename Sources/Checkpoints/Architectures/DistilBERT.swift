// DistilBERT: BERT without types of tokens, under names of its own.

package struct DistilBERT: Architecture {
    package let models = "DistilBERT"
    package let modelTypes = ["distilbert"]
    package let gguf: String? = nil
    package let isEncoder = true
    package let keys = [
        "hidden_size": "dim", "num_hidden_layers": "n_layers", "num_attention_heads": "n_heads",
        "intermediate_size": "hidden_dim",
    ]
    package let defaults: JSON.Object = [
        "vocab_size": .integer(30522), "dim": .integer(768), "n_layers": .integer(6), "n_heads": .integer(12),
        "hidden_dim": .integer(3072), "max_position_embeddings": .integer(512),
        "layer_norm_epsilon": .double(1e-12),
    ]
    package let tiny: JSON.Object = ["num_key_value_heads": .null]
    package init() {}

    package func describe(_ file: ModelFile) throws(FileError) -> ModelSpec {
        let width = try file.integer(.width, in: ModelKey.Range.width)
        let hidden = try file.integer(.feedForward, in: ModelKey.Range.width)
        let heads = try file.heads()
        let activation = try file.activation("activation", default: .gelu)
        var model = try file.model(epsilon: .layerEpsilon, layers: "transformer.layer.") { layer in
            func dense(_ name: String, _ inFeatures: Int, _ outFeatures: Int) -> LinearSpec {
                layer.linear(name, gguf: "", inFeatures, outFeatures, bias: true)
            }
            var attention = AttentionSpec(heads, rope: nil)
            attention.isCausal = false
            var first = BranchSpec(
                before: nil,
                inputs: ["q_lin", "k_lin", "v_lin"].map { dense("attention.\($0)", width, heads.queryWidth) },
                mixer: .attention(attention), output: dense("attention.out_lin", heads.queryWidth, width))
            first.sum = layer.layerNorm("sa_layer_norm", gguf: "")
            var second = BranchSpec(
                before: nil, inputs: [dense("ffn.lin1", width, hidden)],
                mixer: .activation(ActivationSpec(activation, isGated: false)),
                output: dense("ffn.lin2", hidden, width))
            second.sum = layer.layerNorm("output_layer_norm", gguf: "")
            return [first, second]
        }
        try model.embedTypedTokens(file, epsilon: .layerEpsilon)
        model.headedPrefix = "distilbert."
        return model
    }
}
