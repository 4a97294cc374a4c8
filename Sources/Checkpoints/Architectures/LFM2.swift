// LFM2: most layers have a gated short convolution in the place of attention.
//   m = x + out(c·conv(b·u)),  (b, c, u) = in(n),  n = rms(x)      y = m + w2(silu(w1(n))·w3(n)),  n = rms(m)

package struct LFM2: Architecture {
    package let models = "LFM2 and LFM2.5"
    package let modelTypes = ["lfm2"]
    package let gguf: String? = "lfm2"
    package let keys = ["rms_norm_eps": "norm_eps"]
    package let defaults: JSON.Object = [
        "intermediate_size": .integer(12288), "num_key_value_heads": .integer(8), "norm_eps": .double(1e-5),
        "max_position_embeddings": .integer(128_000), "tie_word_embeddings": .bool(true),
        "rope_theta": .double(1_000_000), "block_ffn_dim_multiplier": .double(1),
    ]
    package let tiny: JSON.Object = [
        "layer_types": .array([.string("conv"), .string("full_attention"), .string("conv")]),
        "num_hidden_layers": .integer(3), "conv_L_cache": .integer(4), "block_multiple_of": .integer(8),
        "block_ffn_dim_multiplier": .double(1.25),
    ]
    package init() {}

    package func complete(_ config: inout JSON.Object, of model: ModelSpec) {
        config["num_key_value_heads"] = .integer(model.attentions.first?.kvHeads ?? 1)
        config["block_auto_adjust_ff_dim"] = .bool(false)
    }

    package func describe(_ file: ModelFile) throws(FileError) -> ModelSpec {
        let width = try file.integer(.width, in: ModelKey.Range.width)
        let hidden = try hiddenWidth(file)
        let heads = try file.heads()
        let attends = try attendingLayers(file, heads)
        let taps = try file.integer(
            ModelKey("conv_L_cache", gguf: "shortconv.l_cache"), in: 1...256, default: 3)
        let bias = try file.flag("conv_bias")
        let rope = try file.rope(heads)
        var model = try file.model { layer in
            let feedForward = BranchSpec(
                before: layer.rms("ffn_norm", gguf: "ffn_norm"),
                inputs: [
                    layer.linear("feed_forward.w1", gguf: "ffn_gate", width, hidden),
                    layer.linear("feed_forward.w3", gguf: "ffn_up", width, hidden),
                ],
                mixer: .activation(ActivationSpec(.silu, isGated: true)),
                output: layer.linear("feed_forward.w2", gguf: "ffn_down", hidden, width))
            let before = layer.rms("operator_norm", gguf: "attn_norm")
            guard attends[layer.index] else {
                let convolution = ConvolutionSpec(
                    layer.name("conv.conv", gguf: "shortconv.conv"), channels: width, taps: taps,
                    hasBias: bias)
                return [
                    BranchSpec(
                        before: before,
                        inputs: [
                            layer.linear(
                                "conv.in_proj", gguf: "shortconv.in_proj", width, width, width, width,
                                bias: bias)
                        ],
                        mixer: .convolution(convolution),
                        output: layer.linear(
                            "conv.out_proj", gguf: "shortconv.out_proj", width, width, bias: bias)),
                    feedForward,
                ]
            }
            var attention = AttentionSpec(heads, rope: rope)
            attention.queryNorm = layer.rms("self_attn.q_layernorm", gguf: "attn_q_norm", size: heads.size)
            attention.keyNorm = layer.rms("self_attn.k_layernorm", gguf: "attn_k_norm", size: heads.size)
            return [
                BranchSpec(
                    before: before,
                    inputs: [
                        layer.linear("self_attn.q_proj", gguf: "attn_q", width, heads.queryWidth),
                        layer.linear("self_attn.k_proj", gguf: "attn_k", width, heads.keyWidth),
                        layer.linear("self_attn.v_proj", gguf: "attn_v", width, heads.keyWidth),
                    ],
                    mixer: .attention(attention),
                    output: layer.linear("self_attn.out_proj", gguf: "attn_output", heads.queryWidth, width)),
                feedForward,
            ]
        }
        model.finalNorm?.name = TensorName(file.prefix + "embedding_norm", gguf: "token_embd_norm")
        // What older files call `tie_word_embeddings`.
        if let isTied = try file.optionalFlag("tie_embedding") {
            model.head.name = isTied ? nil : TensorName("lm_head", gguf: "output")
        }
        return model
    }

    /// Of the MLP: two thirds of what config.json says, unless it says otherwise.
    private func hiddenWidth(_ file: ModelFile) throws(FileError) -> Int {
        let stated = try file.integer(.feedForward, in: ModelKey.Range.width)
        if file.isGGUF { return stated }
        // An older name, which counts where both are there.
        var hidden = try file.optionalInteger(ModelKey("block_ff_dim"), in: ModelKey.Range.width) ?? stated
        let factor = try file.optionalNumber(ModelKey("block_ffn_dim_multiplier"))
        let multiple = try file.integer(
            ModelKey("block_multiple_of"), in: ModelKey.Range.width, default: 256)
        if try file.flag("block_auto_adjust_ff_dim", default: true) {
            hidden = 2 * hidden / 3
            if let factor, factor < 1000 {
                hidden = (Int(factor * Double(hidden)) + multiple - 1) / multiple * multiple
            }
        }
        guard ModelKey.Range.width ~= hidden else {
            throw file.wrong(.feedForward, expected: "one that gives an MLP a width, not \(hidden)")
        }
        file.note(.feedForward, .uint32(UInt32(clamping: hidden)))
        return hidden
    }

    /// GGUF gives the layers that do not attend no key/value heads.
    private func attendingLayers(_ file: ModelFile, _ heads: HeadCounts) throws(FileError) -> [Bool] {
        let layers = try file.integer(.layers, in: ModelKey.Range.layers)
        // Files with both say the same twice.
        let indices = try file.optionalIntegers("full_attn_idxs") ?? Array(0..<layers)
        let attends: [Bool]
        if file.isGGUF {
            attends = try file.layerIntegers(.kvHeads)?.map { $0 > 0 } ?? []
        } else if let types = try file.layerTypes(among: ["conv", "full_attention"]) {
            attends = types.map { $0 == "full_attention" }
        } else {
            attends = (0..<layers).map { indices.contains($0) }
        }
        guard attends.count == layers else {
            throw FileError(
                file.path, "names the kinds of \(attends.count) layers, and the model has \(layers)",
                remedy: "the file is damaged: copy or download it again")
        }
        file.note(.kvHeads, .array(.int32, attends.map { .int32($0 ? Int32(heads.keys) : 0) }))
        return attends
    }
}
