// The tensors a Llama-architecture model has: Hugging Face name, GGUF name and shape of each, in one table.

/// The weights of one transformer block.
package enum BlockTensor: String, CaseIterable, Sendable {
    case inputNorm = "input_layernorm"
    case qProj = "self_attn.q_proj"
    case kProj = "self_attn.k_proj"
    case vProj = "self_attn.v_proj"
    case oProj = "self_attn.o_proj"
    case postAttentionNorm = "post_attention_layernorm"
    case gateProj = "mlp.gate_proj"
    case upProj = "mlp.up_proj"
    case downProj = "mlp.down_proj"

    package static func huggingFaceName(_ layer: Int, _ tensor: BlockTensor) -> String {
        "model.layers.\(layer).\(tensor.rawValue).weight"
    }

    package static func ggufName(_ layer: Int, _ tensor: BlockTensor) -> String {
        "blk.\(layer).\(tensor.ggufPart).weight"
    }

    private var ggufPart: String {
        switch self {
        case .inputNorm: "attn_norm"
        case .qProj: "attn_q"
        case .kProj: "attn_k"
        case .vProj: "attn_v"
        case .oProj: "attn_output"
        case .postAttentionNorm: "ffn_norm"
        case .gateProj: "ffn_gate"
        case .upProj: "ffn_up"
        case .downProj: "ffn_down"
        }
    }

    package func shape(_ config: ModelConfig) -> [Int] {
        let (queries, keys) = (config.heads * config.headDim, config.kvHeads * config.headDim)
        return switch self {
        case .inputNorm, .postAttentionNorm: [config.hiddenSize]
        case .qProj: [queries, config.hiddenSize]
        case .kProj, .vProj: [keys, config.hiddenSize]
        case .oProj: [config.hiddenSize, queries]
        case .gateProj, .upProj: [config.intermediateSize, config.hiddenSize]
        case .downProj: [config.hiddenSize, config.intermediateSize]
        }
    }
}

package struct ExpectedTensor: Sendable {
    package let name: String  // Hugging Face's
    package let ggufName: String
    package let shape: [Int]
    /// How a GGUF of architecture llama stores its rows.
    package let ggufOrder: RowOrder

    init(_ name: String, gguf ggufName: String, _ shape: [Int], order: RowOrder = .asStored) {
        (self.name, self.ggufName, self.shape, self.ggufOrder) = (name, ggufName, shape, order)
    }
}

extension ModelConfig {
    /// Every tensor of the model, in the order of its layers.
    package var expectedTensors: [ExpectedTensor] {
        var tensors = [
            ExpectedTensor("model.embed_tokens.weight", gguf: "token_embd.weight", [vocabSize, hiddenSize])
        ]
        for layer in 0..<layers {
            for tensor in BlockTensor.allCases {
                tensors.append(
                    ExpectedTensor(
                        BlockTensor.huggingFaceName(layer, tensor), gguf: BlockTensor.ggufName(layer, tensor),
                        tensor.shape(self),
                        order: [.qProj, .kProj].contains(tensor)
                            ? .interleavedPairs(headDim: headDim) : .asStored))
            }
        }
        tensors.append(ExpectedTensor("model.norm.weight", gguf: "output_norm.weight", [hiddenSize]))
        if !tieWordEmbeddings {
            tensors.append(ExpectedTensor("lm_head.weight", gguf: "output.weight", [vocabSize, hiddenSize]))
        }
        return tensors
    }
}
