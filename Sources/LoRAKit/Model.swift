import Checkpoints
import LoRAVK
import Tokenizer

/// A language model with its tokenizer, frozen. May be shared between threads.
public final class Model: Sendable {
    let core: Transformer
    let tokenizer: Tokenizer

    /// Loads a GGUF file, or a Hugging Face folder with config.json, safetensors and tokenizer.json.
    public init(_ path: String, on device: Device) throws {
        let checkpoint = try Checkpoint.open(path: path)
        tokenizer = try Tokenizer.load(for: checkpoint)
        core = try Transformer.load(checkpoint, device: device.core)
    }

    /// The tokens of a text, with those that the model expects at the beginning.
    public func tokens(of text: String) -> [Int32] { tokenizer.encode(text) }

    /// The text of tokens, without special ones.
    public func text(of tokens: [Int32]) -> String { tokenizer.decode(tokens, skipSpecialTokens: true) }

    /// A user's message as the model's chat template writes it, up to where the answer begins. Of a model without one it is the
    /// message's text.
    public func chatTokens(of message: String) throws -> [Int32] {
        guard let renderer = try ChatRenderer(tokenizer) else { return tokens(of: message) }
        let chat = try renderer.render(
            Chat([(role: "user", content: message)]), addGenerationPrompt: true)
        return tokenizer.encode(chat, addSpecialTokens: false)
    }

    /// How the next token is chosen.
    public struct Sampling: Sendable {
        /// 0: always the most likely token.
        public var temperature = Defaults.temperature
        /// Only the smallest set of tokens with this probability.
        public var topP = Defaults.topP
        /// The same seed gives the same tokens.
        public var seed: UInt64 = 0

        public init() {}
    }

    /// Continues a prompt until the model ends, `maxTokens` are there, or `onToken` says false.
    public func generate(
        _ prompt: [Int32], with adapter: Adapter? = nil, maxTokens: Int = 256,
        sampling: Sampling = Sampling(),
        onToken: (Int32) -> Bool = { _ in true }
    ) throws -> [Int32] {
        var config = SamplerConfig()
        (config.temperature, config.topP, config.seed) = (
            sampling.temperature, sampling.topP, sampling.seed
        )
        let limit = core.spec.contextLength
        let generator = try Generator(
            core, adapter?.core, capacity: min(limit, prompt.count + min(max(1, maxTokens), limit)))
        var stop = Set(core.spec.tokens.eos.map { Int32($0) })
        stop.formUnion(tokenizer.specialIDs.stops)
        return try generator.generate(
            prompt: prompt, maxTokens: maxTokens, stopTokens: stop, sampling: config, onToken: onToken)
    }
}
