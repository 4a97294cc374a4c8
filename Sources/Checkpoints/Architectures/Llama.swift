// Llama, and what computes as it does: SmolLM2, TinyLlama.
//   m = x + o(attention(rope(q(n)), rope(k(n)), v(n))),   n = rms(x)
//   y = m + down(silu(gate(n))·up(n)),                     n = rms(m)

package struct Llama: Architecture {
    package init() {}

    package let models = "Llama 2 and 3, SmolLM2, TinyLlama"
    package let modelTypes = ["llama"]
    package let gguf: String? = "llama"

    package func describe(_ file: ModelFile) throws(FileError) -> ModelSpec {
        let width = try file.integer(.width, in: ModelKey.Range.width)
        let hidden = try file.integer(.feedForward, in: ModelKey.Range.width)
        let heads = try file.heads()
        let bias = try file.hasBias("attn_q", flag: "attention_bias")
        let outputBias = try file.hasBias("attn_output", flag: "attention_bias")
        let mlpBias = try file.hasBias("ffn_gate", flag: "mlp_bias")
        let activation = try file.activation("hidden_act", "hidden_activation", default: .silu)
        let rope = try file.rope(heads)
        // Only GGUF files of Mistral, which are this architecture's there, have windows.
        let windows = file.isGGUF ? try file.windows { _ in true } : []
        // llama.cpp's converter lays the rows of q and k in interleaved pairs, for this architecture and few others.
        let pairs = RowOrder.interleavedPairs(headDim: heads.size)
        // Mixtral's GGUF files are this architecture's.
        let experts =
            file.architecture is Llama ? try file.optionalGGUFExperts(hidden: .feedForward) : nil
        return try file.model { layer in
            let attention = BranchSpec(
                before: layer.rms("input_layernorm", gguf: "attn_norm"),
                inputs: [
                    layer.linear(
                        "self_attn.q_proj", gguf: "attn_q", width, heads.queryWidth, bias: bias, order: pairs),
                    layer.linear(
                        "self_attn.k_proj", gguf: "attn_k", width, heads.keyWidth, bias: bias, order: pairs),
                    layer.linear("self_attn.v_proj", gguf: "attn_v", width, heads.keyWidth, bias: bias),
                ],
                mixer: .attention(
                    AttentionSpec(heads, rope: rope, window: windows.isEmpty ? nil : windows[layer.index])),
                output: layer.linear(
                    "self_attn.o_proj", gguf: "attn_output", heads.queryWidth, width,
                    bias: outputBias))
            var feedForward = BranchSpec(
                before: layer.rms("post_attention_layernorm", gguf: "ffn_norm"),
                inputs: [
                    layer.linear("mlp.gate_proj", gguf: "ffn_gate", width, hidden, bias: mlpBias),
                    layer.linear("mlp.up_proj", gguf: "ffn_up", width, hidden, bias: mlpBias),
                ],
                mixer: .activation(ActivationSpec(activation, isGated: true)),
                output: layer.linear("mlp.down_proj", gguf: "ffn_down", hidden, width, bias: mlpBias))
            if let experts { feedForward.mixExperts(experts, .softmax(ofChosen: true), activation, layer) }
            return [attention, feedForward]
        }
    }
}
