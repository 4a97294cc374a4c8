// Bad JSON, and JSON that is no config of a model that can be run.

import Checkpoints
import Foundation

let badJSONFiles: [BadFile] = [
    .json("nesting 100,000 deep", "nested deeper than 64 levels") {
        [UInt8](repeating: UInt8(ascii: "["), count: 100_000)
    },
    .json("a byte-order mark", "byte 0: begins with a byte-order mark") { [0xEF, 0xBB, 0xBF, 0x7B, 0x7D] },
    .json("invalid UTF-8", "byte 2: the text is not valid UTF-8") { [0x5B, 0x22, 0xFF, 0x22, 0x5D] },
    .json("overlong UTF-8", "byte 1: the text is not valid UTF-8") { [0x22, 0xC0, 0x80, 0x22] },
    .json("a surrogate in UTF-8", "byte 1: the text is not valid UTF-8") { [0x22, 0xED, 0xA0, 0x80, 0x22] },
    .json("UTF-8 beyond U+10FFFF", "byte 1: the text is not valid UTF-8") {
        [0x22, 0xF4, 0x90, 0x80, 0x80, 0x22]
    },
    .json("UTF-8 cut short", "byte 12: the text is not valid UTF-8") {
        Array("\"abcdefghijk".utf8) + [0xE2, 0x82]
    },
    .json("NaN", "NaN and Infinity are not JSON numbers", "[NaN]"),
    .json("Infinity", "NaN and Infinity are not JSON numbers", "[Infinity]"),
    .json("−Infinity", "NaN and Infinity are not JSON numbers", "[-Infinity]"),
    .json("a number beyond Double", "is too large", "[1e999]"),
    .json("a leading zero", "expected ',' or ']'", "[01]"),
    .json("a plus sign", "expected a value, found '+'", "[+1]"),
    .json("a bare point", "expected a digit after the decimal point", "[1.]"),
    .json("a bare exponent", "expected a digit in the exponent", "[1e]"),
    .json("nothing", "the text ends where a value belongs", ""),
    .json("a cut array", "the text ends where a value belongs", "[1,"),
    .json("a cut string", "the text ends inside a string", "[\"ab"),
    .json("a cut escape", "the text ends inside a string", "[\"ab\\"),
    .json("a cut word", "expected true", "[tru"),
    .json("a trailing comma", "expected a value, found ']'", "[1,]"),
    .json("a key without quotes", "expected a key in double quotes", "{a: 1}"),
    .json("no colon", "expected ':' after the key 'a'", "{\"a\" 1}"),
    .json("a duplicate key", "byte 8: the key 'a' appears twice", "{\"a\":1, \"a\":2}"),
    .json("a duplicate key among many", "the key 'k7' appears twice") {
        Array("{\((0..<50).map { "\"k\($0)\":0," }.joined())\"k7\":0}".utf8)
    },
    .json("an escaped duplicate key", "the key 'a' appears twice", #"{"a":1,"\u0061":2}"#),
    .json("more text", "more text after the end", "{} {}"),
    .json("a line break in a string", "a control character inside a string must be escaped", "[\"a\nb\"]"),
    .json("a NUL", "a control character inside a string must be escaped", "[\"a\\n\0\"]"),
    .json("an unknown escape", "is not an escape of JSON", #"["\x"]"#),
    .json("half a surrogate pair", "half of a surrogate pair", #"["\ud83d"]"#),
    .json("two high surrogates", "half of a surrogate pair", #"["\ud83d\ud83d"]"#),
    .json("a short \\u", "\\u needs four hexadecimal digits", #"["\u12"]"#),
    BadFile("JSON: over the cap", "has 4 bytes of JSON, the limit is 3") { _ in
        var limits = LoadLimits()
        limits.jsonBytes = 3
        _ = try JSON.parse(Array("[10]".utf8), path: "x.json", limits: limits)
    },

    .config("no object", "holds an array of 0, expected an object") {
        try put("[]", at: $0 + "/config.json")
    },
    .config("an adapter's config", "is the configuration of an adapter", ["peft_type": "\"LORA\""]),
    .config(
        "another model", "'model_type' is the string \"whisper\", expected llama, mistral",
        ["model_type": "\"whisper\""]),
    .config("no model type", "'model_type' is missing", ["model_type": nil]),
    .config("0 heads", "'num_attention_heads' is the number 0", ["num_attention_heads": "0"]),
    .config(
        "heads that do not divide the width", "is not a multiple of 'num_attention_heads' 3",
        ["num_attention_heads": "3", "head_dim": nil]),
    .config("an odd head", "a head of 15 numbers has no rotary pairs", ["head_dim": "15"]),
    .config(
        "10^9 layers", "'num_hidden_layers' is the number 1000000000, expected an integer from 1 to 10000",
        ["num_hidden_layers": "1000000000"]),
    .config("a negative width", "'hidden_size' is the number -32", ["hidden_size": "-32"]),
    .config(
        "a width that is text", "'hidden_size' is the string \"abc\", expected an integer from 1 to",
        ["hidden_size": "\"abc\""]),
    .config("a width of 32.5", "'hidden_size' is the number 32.5", ["hidden_size": "32.5"]),
    .config(
        "a width beyond 64 bits", "'hidden_size' is the number 1e+30",
        ["hidden_size": "1000000000000000000000000000000"]),
    .config("no width", "'hidden_size' is missing", ["hidden_size": nil]),
    .config("NaN", "NaN and Infinity are not JSON numbers") { folder in
        let path = folder + "/config.json"
        let text = try String(contentsOfFile: path, encoding: .utf8)
        try put(
            text.replacingOccurrences(of: "\"rope_theta\": 10000.0", with: "\"rope_theta\": NaN"), at: path)
    },
    .config(
        "an epsilon of 0", "'rms_norm_eps' is the number 0, expected a positive number", ["rms_norm_eps": "0"]
    ),
    .config(
        "more key/value heads than heads", "'num_key_value_heads' is the number 4",
        ["num_key_value_heads": "4"]),
    .config(
        "key/value heads that do not divide", "3 attention heads cannot share 2 key/value heads",
        ["num_attention_heads": "3", "num_key_value_heads": "2"]),
    .config(
        "an unknown rope scaling", "'rope_scaling.rope_type' is the string \"spiral\"",
        ["rope_scaling": #"{"rope_type":"spiral","factor":4}"#]),
    .config(
        "rope scaling without a factor", "'rope_scaling.factor' is missing",
        ["rope_scaling": #"{"type":"linear"}"#]),
    .config(
        "rope scaling below 1", "the rope scaling factor 0.5 is below 1",
        ["rope_scaling": #"{"type":"linear","factor":0.5}"#]),
    .config(
        "rope scaling out of order", "are out of order",
        ["rope_scaling": #"{"rope_type":"llama3","factor":8,"low_freq_factor":4,"high_freq_factor":1}"#]),
    .config(
        "biases that are not there", "'model.layers.0.self_attn.q_proj.bias' is missing",
        ["attention_bias": "true"]),
    .config(
        "biases of the MLP that are not there", "'model.layers.0.mlp.gate_proj.bias' is missing",
        ["mlp_bias": "true"]),
    .config(
        "an unknown activation", "'hidden_act' is the string \"mish\", expected silu",
        ["hidden_act": "\"mish\""]),
    .config("a window that llama has not", "'sliding_window' is the number 64", ["sliding_window": "64"]),
    .config("more than whole heads rotate", "expected a number up to 1", ["partial_rotary_factor": "1.5"]),
    .config(
        "scores that are capped", "'attn_logit_softcapping' is the number 50",
        ["attn_logit_softcapping": "50"]),
    .config(
        "quantised weights", "'quantization_config' is an object of 1 keys",
        ["quantization_config": #"{"bits":4}"#]),
    .config(
        "an eos id outside the vocabulary", "the eos token id 40 is not one of the 40 tokens",
        ["eos_token_id": "[2, 40]"]),
    .config("an eos id that is text", "'eos_token_id' holds the string \"2\"", ["eos_token_id": "[\"2\"]"]),
    .config(
        "another width than the weights",
        "'model.embed_tokens.weight' has the shape [40, 32], the config says [40, 64]", ["hidden_size": "64"]),
    .config(
        "more layers than the weights", "'model.layers.2.input_layernorm.weight' is missing",
        ["num_hidden_layers": "3"]),
    .config(
        "fewer layers than the weights", "'model.layers.1.input_layernorm.weight' does not belong",
        ["num_hidden_layers": "1"]),
    .config("no config", "has no config.json") {
        try FileManager.default.removeItem(atPath: $0 + "/config.json")
    },
]

extension BadFile {
    fileprivate static func config(
        _ name: String, _ expected: String, _ change: @escaping @Sendable (_ folder: String) throws -> Void
    ) -> BadFile {
        BadFile("config.json: " + name, expected) { folder in
            try copy(fixture("tiny-hf"), to: folder + "/model")
            try change(folder + "/model")
            _ = try Checkpoint.open(path: folder + "/model")
        }
    }
}
