// GPT-2: LayerNorm, learned positions, one matrix for q, k and v, GELU. Hugging Face stores its matrices transposed.

package struct GPT2: Architecture {
    package let models = "GPT-2"
    package let modelTypes = ["gpt2"]
    package let gguf: String? = "gpt2"
    package let keys = [
        "hidden_size": "n_embd", "num_hidden_layers": "n_layer", "num_attention_heads": "n_head",
        "max_position_embeddings": "n_positions", "intermediate_size": "n_inner",
    ]
    package let defaults: JSON.Object = [
        "n_positions": .integer(1024), "layer_norm_epsilon": .double(1e-5),
        "tie_word_embeddings": .bool(true),
    ]
    package let tiny: JSON.Object = ["n_inner": .null, "num_key_value_heads": .null]
    package init() {}

    package let className = "GPT2LMHeadModel"

    package func describe(_ file: ModelFile) throws(FileError) -> ModelSpec {
        let width = try file.integer(.width, in: ModelKey.Range.width)
        let hidden = try file.integer(.feedForward, in: ModelKey.Range.width, default: 4 * width)
        let heads = try file.heads()
        let activation = try file.activation("activation_function", default: .geluTanh)
        let isScaled = try file.flag("scale_attn_weights", default: true)
        let scalesByLayer = try file.flag("scale_attn_by_inverse_layer_idx")
        var model = try file.model(epsilon: .layerEpsilon, layers: "transformer.h.") { layer in
            var attention = AttentionSpec(heads, rope: nil)
            if !isScaled { attention.scale = 1 }
            if scalesByLayer { attention.scale /= Double(layer.index + 1) }
            return [
                BranchSpec(
                    before: layer.layerNorm("ln_1", gguf: "attn_norm"),
                    inputs: [layer.conv1D("attn.c_attn", gguf: "attn_qkv", width, width, width, width)],
                    mixer: .attention(attention),
                    output: layer.conv1D("attn.c_proj", gguf: "attn_output", width, width)),
                BranchSpec(
                    before: layer.layerNorm("ln_2", gguf: "ffn_norm"),
                    inputs: [layer.conv1D("mlp.c_fc", gguf: "ffn_up", width, hidden)],
                    mixer: .activation(ActivationSpec(activation, isGated: false)),
                    output: layer.conv1D("mlp.c_proj", gguf: "ffn_down", hidden, width)),
            ]
        }
        model.embedding = EmbeddingSpec(TensorName("transformer.wte", gguf: "token_embd"))
        model.embedding.positions = TensorName("transformer.wpe", gguf: "position_embd")
        model.finalNorm?.kind = .layer
        model.finalNorm?.name = TensorName("transformer.ln_f", gguf: "output_norm")
        return model
    }
}

extension Layer {
    /// A linear layer with a bias whose matrix Hugging Face's file has as (in, out).
    fileprivate func conv1D(_ name: String, gguf: String, _ inFeatures: Int, _ outputs: Int...) -> LinearSpec
    {
        LinearSpec(
            name: self.name(name, gguf: gguf), inFeatures: inFeatures, outputs: outputs, hasBias: true,
            isTransposed: true)
    }
}
