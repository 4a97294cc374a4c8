// ModernBERT: norms in front of the branches, without biases; one matrix for q, k and v and one for GELU's gate; heads rotate. Two of
// three layers see a window to both sides, and rotate at a base of their own.

package struct ModernBERT: Architecture {
    package let models = "ModernBERT"
    package let modelTypes = ["modernbert"]
    package let gguf: String? = nil
    package let isEncoder = true
    package let keys = ["layer_norm_epsilon": "norm_eps"]
    package let defaults: JSON.Object = [
        "vocab_size": .integer(50368), "hidden_size": .integer(768), "intermediate_size": .integer(1152),
        "num_hidden_layers": .integer(22), "num_attention_heads": .integer(12), "norm_eps": .double(1e-5),
        "max_position_embeddings": .integer(8192), "local_attention": .integer(128),
    ]
    package let tiny: JSON.Object = [
        "num_key_value_heads": .null, "rope_theta": .null, "global_rope_theta": .double(160_000),
        "local_rope_theta": .double(1000), "local_attention": .integer(10), "num_hidden_layers": .integer(3),
        "global_attn_every_n_layers": .integer(2), "norm_eps": .double(1e-5),
    ]
    package init() {}

    package func describe(_ file: ModelFile) throws(FileError) -> ModelSpec {
        let width = try file.integer(.width, in: ModelKey.Range.width)
        let hidden = try file.integer(.feedForward, in: ModelKey.Range.width)
        let heads = try file.heads()
        let activation = try file.activation("hidden_activation", default: .gelu)
        let (bias, mlpBias) = (try file.flag("attention_bias"), try file.flag("mlp_bias"))
        let isUnbiased = try !file.flag("norm_bias")
        // Of all keys that a query sees.
        let reach = try file.integer(ModelKey("local_attention"), in: 1...Int(Int32.max)) / 2
        let period = try file.integer(
            ModelKey("global_attn_every_n_layers"), in: ModelKey.Range.layers, default: 3)
        let types = try file.layerTypes(among: ["full_attention", "sliding_attention"])
        let rope = try file.rope(heads, base: ModelKey("global_rope_theta"), default: 160_000)
        let local = try file.localRope(heads, base: ModelKey("local_rope_theta"), default: 10_000)
        let layers = try file.integer(.layers, in: ModelKey.Range.layers)
        guard types?.count ?? layers == layers else {
            throw file.wrong(ModelKey("layer_types"), expected: "a kind for each of \(layers) layers")
        }
        func layerNorm(_ name: TensorName, _ epsilon: Double) -> NormSpec {
            var norm = NormSpec(kind: .layer, name: name, size: width, epsilon: epsilon)
            norm.isUnbiased = isUnbiased
            return norm
        }
        var model = try file.model(epsilon: .layerEpsilon, layers: "layers.") { layer in
            let slides = types.map { $0[layer.index] == "sliding_attention" } ?? (layer.index % period != 0)
            var attention = AttentionSpec(
                heads, rope: slides ? local : rope, window: slides ? reach + 1 : nil)
            attention.isCausal = false
            return [
                BranchSpec(
                    before: layer.index == 0
                        ? nil : layerNorm(layer.name("attn_norm", gguf: ""), layer.epsilon),
                    inputs: [
                        layer.linear("attn.Wqkv", gguf: "", width, width, width, width, bias: bias)
                    ],
                    mixer: .attention(attention),
                    output: layer.linear("attn.Wo", gguf: "", width, width, bias: bias)),
                BranchSpec(
                    before: layerNorm(layer.name("mlp_norm", gguf: ""), layer.epsilon),
                    inputs: [layer.linear("mlp.Wi", gguf: "", width, hidden, hidden, bias: mlpBias)],
                    mixer: .activation(ActivationSpec(activation, isGated: true)),
                    output: layer.linear("mlp.Wo", gguf: "", hidden, width, bias: mlpBias)),
            ]
        }
        let epsilon = try file.number(.layerEpsilon)
        model.embedding = EmbeddingSpec(TensorName("embeddings.tok_embeddings", gguf: ""))
        model.embedding.norm = layerNorm(TensorName("embeddings.norm", gguf: ""), epsilon)
        model.finalNorm = layerNorm(TensorName("final_norm", gguf: ""), epsilon)
        model.head = HeadSpec(nil)
        model.headedPrefix = "model."
        return model
    }
}
