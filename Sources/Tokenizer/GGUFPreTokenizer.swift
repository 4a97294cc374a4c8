// `tokenizer.ggml.pre`: the names under which GGUF files know the pre-tokenizers of families, and what each stands for.
// A name also decides what the file itself may leave out.

struct GGUFPreTokenizer: Sendable {
    let names: [String]
    /// Each cuts the pieces that the one before it left.
    let expressions: [String]
    var normalizers: [Normalizer] = []
    /// A word that is a token needs no merges.
    var ignoresMerges = false
    /// Where the file does not say whether texts begin with the token for that.
    var addsBOS = false

    private typealias Family = Expression.Family

    static let all = [
        GGUFPreTokenizer(names: ["default"], expressions: Family.llamaCPPDefault),
        GGUFPreTokenizer(
            names: ["gpt-2", "gpt2", "phi-2", "mpt", "exaone4", "granite-docling"],
            expressions: [Family.gpt2]),
        GGUFPreTokenizer(names: ["olmo"], expressions: [Family.gpt2], normalizers: [.nfc]),
        GGUFPreTokenizer(
            names: ["smollm", "starcoder", "refact", "command-r", "codeshell", "exaone"],
            expressions: [Family.digits, Family.gpt2]),
        GGUFPreTokenizer(
            names: ["llama-bpe", "llama3", "llama-v3", "lfm2", "falcon3", "pixtral"],
            expressions: [Family.llama3], ignoresMerges: true, addsBOS: true),
        GGUFPreTokenizer(
            names: ["smaug-bpe", "dbrx", "glm4", "chatglm-bpe"], expressions: [Family.llama3]),
        GGUFPreTokenizer(
            names: ["qwen2", "deepseek-r1-qwen", "megrez"], expressions: [Family.qwen2], normalizers: [.nfc]),
        GGUFPreTokenizer(names: ["stablelm2", "hunyuan"], expressions: [Family.qwen2]),
        GGUFPreTokenizer(names: ["qwen35"], expressions: [Family.qwen35], normalizers: [.nfc]),
        GGUFPreTokenizer(names: ["gpt-4o", "llama4"], expressions: [Family.gpt4o]),
        GGUFPreTokenizer(
            names: ["tekken"], expressions: [Family.tekken], ignoresMerges: true, addsBOS: true),
        GGUFPreTokenizer(names: ["deepseek-coder"], expressions: Family.deepSeekCoder),
        GGUFPreTokenizer(names: ["deepseek-v3", "hunyuan-dense"], expressions: Family.deepSeek3),
    ]

    static func named(_ name: String) -> GGUFPreTokenizer? { all.first { $0.names.contains(name) } }
}
