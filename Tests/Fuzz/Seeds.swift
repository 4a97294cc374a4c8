// The files that are changed: small ones of each format. Those of this repository's tests, and some that are made here.

import Checkpoints
import LoRAVK
import Sweeps

enum Seeds {
    private static let root = String(#filePath.dropLast("Tests/Fuzz/Seeds.swift".count))
    private static let data = root + "Tests/CheckpointsTests/Data/"

    static func file(_ name: String) throws -> [UInt8] { try FileSystem.contents(of: data + name) }

    static func text(_ name: String) throws -> [UInt8] {
        try FileSystem.contents(of: root + "Tests/Fuzz/Corpus/" + name)
    }

    /// A GGUF file with a tokenizer of either kind and one tensor.
    static func gguf(_ model: String) throws -> [UInt8] {
        var metadata = GGUFMetadata(path: "seed")
        let bytes = (0..<256).map { GGUFValue.string(model == "llama" ? byteName($0) : "\(byteLevel($0))") }
        let isLlama = model == "llama"
        let tokens =
            [GGUFValue.string("<unk>"), .string("<s>"), .string("</s>")] + bytes
            + ["a", "b", "ab", "▁", "▁a", "<|im_start|>"].filter { isLlama || $0.count > 1 }.map {
                .string($0)
            }
        metadata.set("general.architecture", .string("llama"))
        metadata.set("general.alignment", .uint32(32))
        metadata.set("llama.block_count", .uint32(1))
        metadata.set("llama.rope.freq_base", .float32(10000))
        metadata.set("tokenizer.ggml.model", .string(model))
        metadata.set("tokenizer.ggml.pre", .string("llama-bpe"))
        metadata.set("tokenizer.ggml.tokens", .array(.string, tokens))
        metadata.set(
            "tokenizer.ggml.token_type",
            .array(
                .int32,
                tokens.indices.map {
                    .int32($0 < 3 ? 3 : isLlama && $0 < 259 ? 6 : $0 == tokens.count - 1 ? 4 : 1)
                }))
        metadata.set("tokenizer.ggml.scores", .array(.float32, tokens.indices.map { .float32(-Float($0)) }))
        metadata.set("tokenizer.ggml.merges", .array(.string, isLlama ? [] : [.string("a b")]))
        metadata.set("tokenizer.ggml.bos_token_id", .uint32(1))
        metadata.set("tokenizer.ggml.eos_token_id", .uint32(2))
        metadata.set("tokenizer.ggml.add_bos_token", .bool(true))
        metadata.set(
            "tokenizer.chat_template",
            .string(String(decoding: try text("chat_template.jinja"), as: UTF8.self)))
        metadata.set("pads", .array(.array, [.array(.uint8, [.uint8(1), .uint8(2)])]))
        let path = Work.folder + "/seed.gguf"
        try GGUFWriter.write(
            [TensorSource("token_embd.weight", shape: [4, 32], [Float](repeating: 0.5, count: 128))],
            metadata: metadata, to: path)
        return try FileSystem.contents(of: path)
    }

    private static func byteName(_ byte: Int) -> String {
        let digits = String(byte, radix: 16, uppercase: true)
        return "<0x" + (byte < 16 ? "0" : "") + digits + ">"
    }

    private static func byteLevel(_ byte: Int) -> Character {
        switch byte {
        case 0x21...0x7E, 0xA1...0xAC, 0xAE...0xFF: Character(Unicode.Scalar(UInt8(byte)))
        default: Character(Unicode.Scalar(UInt32(0x100 + byte)) ?? "?")
        }
    }

    static func index() throws -> [UInt8] { try file("tiny-hf-sharded/model.safetensors.index.json") }

    /// The database of a sweep with one run.
    static func sweep() throws -> [UInt8] {
        let folder = Work.folder + "/seed-sweep"
        var result = SweepResult(
            SweepPoint(method: "lora", initialization: "init-b", rank: 4, learningRate: 1e-3, seed: 1))
        (result.trainLoss, result.parameters, result.secondsPerStep, result.memory) = (0.5, 7, 0.5, 1 << 20)
        result.curve = [.init(step: 1, loss: 1, learningRate: 1e-3, gradientNorm: 1)]
        let store = try SweepStore(folder, settings: ["steps": .integer(2)])
        try store.add([result.point])
        try store.save(result)
        return try FileSystem.contents(of: folder + "/sweep.sqlite")
    }
}
