// Writes models of known sizes with random weights, to measure a device on models that are not at hand.

import ArgumentParser
import Checkpoints

struct RandomModelCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "random-model",
        abstract: "Write a model with random weights as GGUF, without a tokenizer.")

    enum Size: String, CaseIterable, ExpressibleByArgument {
        case tiny
        case smollm2 = "135m"
        case qwen = "1.5b"
        case llama = "8b"
        case lfm2 = "lfm2-350m"
        case experts
        case dense

        /// The shapes of SmolLM2-135M, Qwen2.5-1.5B and Llama 3.1 8B, all as Llama's arithmetic, and of LFM2-350M; two of eight experts,
        /// and a dense model with as many parameters as a token uses of it.
        var config: JSON.Object {
            switch self {
            case .tiny:
                RandomModel.llama(
                    vocabulary: 1024, width: 256, hidden: 512, layers: 2, heads: 4, kvHeads: 2,
                    positions: 2048)
            case .smollm2:
                RandomModel.llama(
                    vocabulary: 49152, width: 576, hidden: 1536, layers: 30, heads: 9, kvHeads: 3,
                    positions: 8192)
            case .qwen:
                RandomModel.llama(
                    vocabulary: 151_936, width: 1536, hidden: 8960, layers: 28, heads: 12, kvHeads: 2,
                    positions: 8192)
            case .llama:
                RandomModel.llama(
                    vocabulary: 128_256, width: 4096, hidden: 14336, layers: 32, heads: 32, kvHeads: 8,
                    positions: 8192, isTied: false)
            case .lfm2:
                [
                    "model_type": .string("lfm2"), "vocab_size": .integer(65536),
                    "hidden_size": .integer(1024),
                    "intermediate_size": .integer(6656), "num_hidden_layers": .integer(16),
                    "num_attention_heads": .integer(16),
                    "full_attn_idxs": .array(
                        [2, 5, 8, 10, 12, 14].map { .integer($0) }), "eos_token_id": .integer(0),
                ]
            case .experts, .dense: mixture
            }
        }

        private var mixture: JSON.Object {
            let isDense = self == .dense
            return [
                "model_type": .string(isDense ? "qwen3" : "qwen3_moe"), "vocab_size": .integer(32768),
                "hidden_size": .integer(768), "intermediate_size": .integer(isDense ? 2048 : 1024),
                "num_hidden_layers": .integer(8), "num_attention_heads": .integer(12),
                "num_key_value_heads": .integer(4), "head_dim": .integer(64),
                "num_experts": isDense ? .null : .integer(8),
                "num_experts_per_tok": isDense ? .null : .integer(2),
                "moe_intermediate_size": isDense ? .null : .integer(1024),
                "norm_topk_prob": isDense ? .null : .bool(true), "max_position_embeddings": .integer(8192),
                "tie_word_embeddings": .bool(true), "eos_token_id": .integer(0),
            ]
        }
    }

    enum Storage: String, CaseIterable, ExpressibleByArgument {
        case f16, bf16, q8_0, q4_0, q4_k, q6_k, mxfp4

        var type: StorageType {
            switch self {
            case .f16: .f16
            case .bf16: .bf16
            case .q8_0: .q8_0
            case .q4_0: .q4_0
            case .q4_k: .q4_K
            case .q6_k: .q6_K
            case .mxfp4: .mxfp4
            }
        }
    }

    @Option(help: "Its shape.") var size: Size
    @Option(help: "How its matrices are stored.") var type: Storage
    @Option(help: "The file to write.") var out: String

    func run() throws {
        let wanted = type.type
        try RandomModel(config: size.config).writeGGUF(to: out) { tensor, _ in
            // Rows that are no whole blocks, as SmolLM2's of 576 are for K-quants.
            (tensor.shape.last ?? 0) % wanted.blockElements == 0 ? wanted : .q8_0
        }
    }
}
