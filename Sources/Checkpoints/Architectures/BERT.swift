// BERT: tokens see the whole text, LayerNorm stands behind each sum, learned positions, GELU. Names are those of BertModel; files of
// a model with a head have `bert.` in front of them.
//   m = norm(x + o(attention(q(x), k(x), v(x)))),   y = norm(m + down(gelu(up(m))))

package struct BERT: Architecture {
    package let models = "BERT, MiniLM, BGE, E5"
    package let modelTypes = ["bert"]
    package let gguf: String? = nil
    package let isEncoder = true
    package let keys = BERT.names
    package let defaults: JSON.Object = [
        "vocab_size": .integer(30522), "hidden_size": .integer(768), "num_hidden_layers": .integer(12),
        "num_attention_heads": .integer(12), "intermediate_size": .integer(3072),
        "max_position_embeddings": .integer(512), "type_vocab_size": .integer(2),
        "layer_norm_eps": .double(1e-12),
    ]
    package let tiny: JSON.Object = ["num_key_value_heads": .null]
    package init() {}

    static let names = ["layer_norm_epsilon": "layer_norm_eps"]

    package func describe(_ file: ModelFile) throws(FileError) -> ModelSpec {
        try BERT.model(file, prefix: "bert.")
    }

    /// `firstPosition`: the row of a text's first token in the table of positions.
    static func model(
        _ file: ModelFile, prefix: String, firstPosition: Int = 0
    ) throws(FileError) -> ModelSpec {
        let width = try file.integer(.width, in: ModelKey.Range.width)
        let hidden = try file.integer(.feedForward, in: ModelKey.Range.width)
        let heads = try file.heads()
        let activation = try file.activation("hidden_act", default: .gelu)
        guard try !file.flag("is_decoder") else {
            throw file.wrong(ModelKey("is_decoder"), expected: "false: only encoders are supported")
        }
        var model = try file.model(epsilon: .layerEpsilon, layers: "encoder.layer.") { layer in
            func dense(_ name: String, _ inFeatures: Int, _ outFeatures: Int) -> LinearSpec {
                layer.linear(name, gguf: "", inFeatures, outFeatures, bias: true)
            }
            var attention = AttentionSpec(heads, rope: nil)
            attention.isCausal = false
            var first = BranchSpec(
                before: nil,
                inputs: ["query", "key", "value"].map {
                    dense("attention.self.\($0)", width, heads.queryWidth)
                },
                mixer: .attention(attention),
                output: dense("attention.output.dense", heads.queryWidth, width))
            first.sum = layer.layerNorm("attention.output.LayerNorm", gguf: "")
            var second = BranchSpec(
                before: nil, inputs: [dense("intermediate.dense", width, hidden)],
                mixer: .activation(ActivationSpec(activation, isGated: false)),
                output: dense("output.dense", hidden, width))
            second.sum = layer.layerNorm("output.LayerNorm", gguf: "")
            return [first, second]
        }
        try model.embedTypedTokens(file, epsilon: .layerEpsilon, firstPosition: firstPosition)
        model.embedding.types = TensorName("embeddings.token_type_embeddings", gguf: "")
        model.embedding.typeCount = try file.integer(
            ModelKey("type_vocab_size"), in: ModelKey.Range.vocabulary)
        model.headedPrefix = prefix
        return model
    }
}

extension ModelSpec {
    /// An encoder's embeddings: learned positions, and a norm of the sum. It has no final norm, and no head but its embeddings.
    mutating func embedTypedTokens(
        _ file: ModelFile, epsilon key: ModelKey, firstPosition: Int = 0
    ) throws(FileError) {
        embedding = EmbeddingSpec(TensorName("embeddings.word_embeddings", gguf: ""))
        embedding.positions = TensorName("embeddings.position_embeddings", gguf: "")
        embedding.firstPosition = firstPosition
        guard positions > firstPosition else {
            throw file.wrong(
                .positions, expected: "more than the \(firstPosition) positions that are no token's")
        }
        positions -= firstPosition
        embedding.norm = NormSpec(
            kind: .layer, name: TensorName("embeddings.LayerNorm", gguf: ""), size: width,
            epsilon: try file.number(key))
        (finalNorm, head) = (nil, HeadSpec(nil))
    }
}
