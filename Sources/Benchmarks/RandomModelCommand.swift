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

        /// The shapes of SmolLM2-135M, Qwen2.5-1.5B and Llama 3.1 8B, all as Llama's arithmetic.
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
            }
        }
    }

    enum Storage: String, CaseIterable, ExpressibleByArgument {
        case f16, bf16, q8_0, q4_0, q4_k, q6_k

        var type: StorageType {
            switch self {
            case .f16: .f16
            case .bf16: .bf16
            case .q8_0: .q8_0
            case .q4_0: .q4_0
            case .q4_k: .q4_K
            case .q6_k: .q6_K
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
