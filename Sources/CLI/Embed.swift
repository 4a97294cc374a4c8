// `lora-vk embed`: texts to vectors.

import ArgumentParser
import Checkpoints
import LoRAVK
import Tokenizer

struct Embed: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Vectors of texts.",
        discussion: """
            Prints a line of JSON for each text: {"text": …, "embedding": [ … ]}. With --output, vectors go into a file: .npy, \
            .safetensors (as "embeddings", one row a text) or .jsonl. A folder of sentence-transformers says how its vectors are \
            made; options say otherwise.
            """)

    @OptionGroup var modelOptions: ModelOptions

    @OptionGroup(title: "Adapter") var adapterOptions: AdapterOptions

    @Option(
        help: ArgumentHelp(
            "What a vector is: the mean of all tokens, the first token (cls) or the last. Default: the model's own.",
            valueName: "mean|cls|last"))
    var pooling: Pooling?

    @Flag(inversion: .prefixedNo, help: "Whether vectors have length 1. Default: the model's own, else not.")
    var normalize: Bool?

    @Option(help: "Longest text in tokens; longer ones are cut. Default: the model's own.")
    var maxLength: Int?

    @Option(help: "A text; may be given several times.")
    var text: [String] = []

    @Option(help: "Texts of a file: the lines of a .txt, or the field 'text' of what training reads.")
    var data: String?

    @Option(name: .shortAndLong, help: "The file to write: .npy, .safetensors or .jsonl.")
    var output: String?

    func run() throws {
        let texts = try texts()
        if let output, EmbeddingFile(output) == nil {
            throw ConfigError("--output is '\(output)'; its name must end with .npy, .safetensors or .jsonl")
        }
        Interrupt.install()
        let (model, adapter, tokenizer) = try modelOptions.open(adapter: adapterOptions.mix)
        var settings = try EmbeddingSettings(model.checkpoint)
        settings.pooling = pooling ?? settings.pooling
        settings.isNormalized = normalize ?? settings.isNormalized
        if let maxLength {
            guard 2...model.spec.contextLength ~= maxLength else {
                throw ConfigError(
                    "--max-length is \(maxLength); the model has positions for 2 to \(model.spec.contextLength) tokens"
                )
            }
            settings.maxTokens = maxLength
        }
        let tokens = texts.map { settings.tokens($0, tokenizer) }
        let cut = tokens.count { $0.isCut }
        if cut > 0 {
            Terminal.warn("\(cut) of \(texts.count) texts were cut to \(settings.maxTokens) tokens")
        }
        let vectors = try Interrupt.watching {
            try Evaluator(model, adapter).embeddings(
                tokens.map(\.ids), pooling: settings.pooling, isNormalized: settings.isNormalized)
        }
        model.device.savePipelines()
        if let output {
            try EmbeddingFile(output)?.write(texts, vectors, width: model.spec.width, to: output)
        } else {
            for (text, vector) in zip(texts, vectors) { Terminal.print(EmbeddingFile.line(text, vector)) }
        }
    }

    private func texts() throws -> [String] {
        let texts = text + (try data.map { try TextFile.texts($0) } ?? [])
        guard !texts.isEmpty else { throw ConfigError("there is no text; give --text or --data") }
        return texts
    }
}

extension Pooling: ExpressibleByArgument {}

/// How vectors are written, by a file's name.
private enum EmbeddingFile {
    case numpy, safetensors, lines

    init?(_ path: String) {
        if path.hasSuffix(".npy") {
            self = .numpy
        } else if path.hasSuffix(".safetensors") {
            self = .safetensors
        } else if path.hasSuffix(".jsonl") {
            self = .lines
        } else {
            return nil
        }
    }

    static func line(_ text: String, _ vector: [Float]) -> String {
        JSON.object(["text": .string(text), "embedding": .array(vector.map { .double(Double($0)) })])
            .text(.compact)
    }

    func write(_ texts: [String], _ vectors: [[Float]], width: Int, to path: String) throws {
        switch self {
        case .lines:
            let lines = zip(texts, vectors).map { Self.line($0, $1) + "\n" }
            try AtomicFile.write(lines.joined(), to: path)
        case .safetensors:
            try SafetensorsWriter.write(
                [TensorSource("embeddings", shape: [vectors.count, width], vectors.flatMap { $0 })], to: path)
        case .numpy:
            // Version 1.0: a header of a multiple of 64 bytes, and the numbers, little end first.
            var header = "{'descr': '<f4', 'fortran_order': False, 'shape': (\(vectors.count), \(width)), }"
            header += String(repeating: " ", count: 63 - (10 + header.utf8.count) % 64) + "\n"
            let count = UInt16(header.utf8.count)
            var bytes: [UInt8] =
                [0x93] + Array("NUMPY".utf8) + [1, 0, UInt8(count & 0xFF), UInt8(count >> 8)]
            bytes += header.utf8
            for value in vectors.joined() {
                for shift in stride(from: 0, to: 32, by: 8) {
                    bytes.append(UInt8(truncatingIfNeeded: value.bitPattern >> shift))
                }
            }
            try AtomicFile.write(bytes, to: path)
        }
    }
}
