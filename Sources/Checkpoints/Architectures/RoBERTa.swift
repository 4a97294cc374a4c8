// RoBERTa: BERT whose positions begin behind the padding token's, and whose tokens are byte-level pairs. XLM-RoBERTa is the same on
// SentencePiece's tokens.

package struct RoBERTa: Architecture {
    package let models = "RoBERTa, XLM-RoBERTa"
    package let modelTypes = ["roberta", "xlm-roberta"]
    package let gguf: String? = nil
    package let isEncoder = true
    package let keys = BERT.names
    package let defaults: JSON.Object = [
        "vocab_size": .integer(50265), "hidden_size": .integer(768), "num_hidden_layers": .integer(12),
        "num_attention_heads": .integer(12), "intermediate_size": .integer(3072),
        "max_position_embeddings": .integer(512), "type_vocab_size": .integer(2),
        "layer_norm_eps": .double(1e-12), "pad_token_id": .integer(1),
    ]
    package let tiny: JSON.Object = [
        "num_key_value_heads": .null, "pad_token_id": .integer(1), "type_vocab_size": .integer(1),
        "max_position_embeddings": .integer(66), "layer_norm_eps": .double(1e-5),
    ]
    package init() {}

    package func describe(_ file: ModelFile) throws(FileError) -> ModelSpec {
        let padding = try file.optionalInteger(ModelKey("pad_token_id"), in: 0...1000) ?? 0
        return try BERT.model(file, prefix: "roberta.", firstPosition: padding + 1)
    }
}
