// Adapters that must not load: configs of something else, disagreement with their tensors or with the base
// model.

import Checkpoints
import Foundation

let badAdapterFiles: [BadFile] = [
    .adapter("a base model's config", "is the configuration of a base model") { folder in
        try FileManager.default.removeItem(atPath: folder + "/adapter_config.json")
        try copy(fixture("tiny-hf/config.json"), to: folder + "/adapter_config.json")
    },
    .adapter("no kind", "'peft_type' is missing", ["peft_type": nil]),
    .adapter(
        "an unknown kind", "'peft_type' is the string \"LOHA\", expected \"LORA\" or \"VERA\"",
        ["peft_type": "\"LOHA\""]),
    .adapter("LoRA as VeRA", "has a lora_A, 'peft_type' is VERA", ["peft_type": "\"VERA\""]),
    .adapter("VeRA as LoRA", "does not begin with 'base_model.model.'", of: "vera", veraAsLoRA),
    .adapter(
        "VeRA of another rank", "has matrices of rank 4, adapter_config.json says 5", of: "vera", ["r": "5"]),
    .adapter("VeRA without its matrices", "holds no vera_A, which the layers share", of: "vera") {
        try write(
            [(q + ".vera_lambda_d", [4]), (q + ".vera_lambda_b", [32])], in: $0)
    },
    .adapter("VeRA with one vector", "has no vera_lambda_b", of: "vera") {
        try write([(q + ".vera_lambda_d", [4])], in: $0)
    },
    .adapter("VeRA with a vector of another rank", "has a vera_lambda_d of [3]", of: "vera", onlyQ) {
        try writeVeRA(d: [3], b: [32], a: [4, 64], in: $0)
    },
    .adapter("VeRA that is too narrow", "is made for 16 inputs and 32 outputs", of: "vera", onlyQ) {
        try writeVeRA(d: [4], b: [32], a: [4, 16], in: $0)
    },
    .adapter("no rank", "'r' is missing", ["r": nil]),
    .adapter("rank 0", "'r' is the number 0", ["r": "0"]),
    .adapter("a rank that disagrees", "has matrices of rank 4, adapter_config.json says 8", ["r": "8"]),
    .adapter(
        "an alpha that is text", "'lora_alpha' is the string \"8\", expected a number",
        ["lora_alpha": "\"8\""]),
    .adapter(
        "a negative alpha", "'lora_alpha' is the number -1, expected a positive number", ["lora_alpha": "-1"]),
    .adapter("a dropout of 1", "'lora_dropout' is the number 1", ["lora_dropout": "1"]),
    .adapter("no targets", "'target_modules' is missing", ["target_modules": nil]),
    .adapter("an empty list of targets", "'target_modules' is an array of 0", ["target_modules": "[]"]),
    .adapter("a number as target", "'target_modules' holds the number 1", ["target_modules": "[1]"]),
    .adapter(
        "a target without tensors", "'target_modules' names 'up_proj', of which there are no tensors",
        ["target_modules": #"["q_proj","v_proj","up_proj"]"#]),
    .adapter(
        "tensors without a target", "'target_modules' does not name 'model.layers.0.self_attn.v_proj'",
        ["target_modules": #"["q_proj"]"#]),
    .adapter(
        "a rank_pattern that disagrees", "has matrices of rank 4, adapter_config.json says 8",
        ["rank_pattern": #"{"v_proj":8}"#]),
    .adapter(
        "a rank_pattern of text", "'rank_pattern.v_proj' is the string", ["rank_pattern": #"{"v_proj":"8"}"#]),
    .adapter(
        "a rank_pattern that looks ahead", "the pattern '(?=q)_proj' has a group that begins with '(?'",
        ["rank_pattern": #"{"(?=q)_proj":4}"#]),
    .adapter(
        "a rank_pattern that closes our group", "the pattern 'q)|(v' has a ')' without its '('",
        ["rank_pattern": #"{"q)|(v":4}"#]),
    .adapter("aLoRA", "'alora_invocation_tokens' is an array of 1", ["alora_invocation_tokens": "[308]"]),
    .adapter(
        "a key that is not known",
        "'some_key' is the number 1, expected none: no such key of PEFT's is known",
        ["some_key": "1"]),
    .adapter("trained biases", "'bias' is the string \"all\"", ["bias": "\"all\""]),
    .adapter("a bias of LoRA", "'lora_bias' is true", ["lora_bias": "true"]),
    .adapter(
        "a fan_in_fan_out of text", "'fan_in_fan_out' is the string \"yes\", expected true or false",
        ["fan_in_fan_out": "\"yes\""]),
    .adapter("QALoRA", "'use_qalora' is true", ["use_qalora": "true"]),
    .adapter("replicated layers", "'layer_replication' is an array of 1", ["layer_replication": "[[0,1]]"]),
    .adapter(
        "PiSSA", "a way that leaves the base model's weights as they are",
        ["init_lora_weights": "\"pissa_niter_4\""]),
    .adapter(
        "DoRA without magnitudes", "has no lora_magnitude_vector, 'use_dora' is true", ["use_dora": "true"]),
    .adapter(
        "magnitudes without DoRA", "has a lora_magnitude_vector, 'use_dora' is false", of: "dora",
        ["use_dora": "false"]),
    .adapter(
        "a saved module that is not listed", "is neither of an adapter nor of a module in 'modules_to_save'"
    ) { try write(pair(q, [4, 32], [32, 4]) + [("model.norm.weight", [32])], in: $0) },
    .adapter("an embedding of another model", "'model.embed_tokens.weight' has the shape [9, 32]", onlyQ) {
        try write(pair(q, [4, 32], [32, 4]) + [("model.embed_tokens.weight", [9, 32])], in: $0)
    },
    .adapter("half an embedding's adapter", "is an embedding, which needs lora_embedding_A") {
        try write([("model.embed_tokens.lora_embedding_A", [4, 40])], in: $0)
    },
    .adapter(
        "a listed module that is not saved", "'modules_to_save' names 'embed_tokens'", of: "saved",
        ["modules_to_save": #"["lm_head","embed_tokens"]"#]),
    .adapter("pickled weights", "which can run code when opened") { folder in
        try FileManager.default.moveItem(
            atPath: folder + "/adapter_model.safetensors", toPath: folder + "/adapter_model.bin")
    },
    .adapter("no weights", "cannot open: No such file") {
        try FileManager.default.removeItem(atPath: $0 + "/adapter_model.safetensors")
    },
    .adapter("truncated weights", "the file is cut or damaged") { folder in
        let path = folder + "/adapter_model.safetensors"
        try put(Array(try contents(path).dropLast(8)), at: path)
    },
    .adapter("no matrices", "holds no adapter's tensors") { try write([], in: $0) },
    .adapter("a matrix without its other", "'model.layers.0.self_attn.q_proj' has no lora_B") {
        try write([("model.layers.0.self_attn.q_proj.lora_A.weight", [4, 32])], in: $0)
    },
    .adapter("matrices of two ranks", "has a lora_A of [4, 32] and a lora_B of [32, 3]") {
        try write(pair("model.layers.0.self_attn.q_proj", [4, 32], [32, 3]), in: $0)
    },
    .adapter("a matrix of three dimensions", "has a lora_A of [4, 32, 1]") {
        try write(pair("model.layers.0.self_attn.q_proj", [4, 32, 1], [32, 4]), in: $0)
    },
    .adapter("keys of another library", "does not begin with 'base_model.model.'") { folder in
        let tensor = TensorSource("q_proj.lora_A.weight", shape: [1, 1], [0])
        try SafetensorsWriter.write([tensor], to: folder + "/adapter_model.safetensors")
    },
    .adapter(
        "another model's layers", "the base model has no linear layer 'model.layers.9.self_attn.q_proj'",
        onlyQ
    ) {
        try write(pair("model.layers.9.self_attn.q_proj", [4, 32], [32, 4]), in: $0)
    },
    .adapter(
        "another model's widths", "is made for 64 inputs and 32 outputs, the base model's has 32 and 32",
        onlyQ
    ) {
        try write(pair("model.layers.0.self_attn.q_proj", [4, 64], [32, 4]), in: $0)
    },
    BadFile("adapter: an adapter as base model", "holds an adapter, not a model") { _ in
        _ = try Checkpoint.open(path: fixture("adapters/plain"))
    },
]

private let onlyQ: [String: String?] = ["target_modules": #"["q_proj"]"#]

private let veraAsLoRA: [String: String?] = ["peft_type": "\"LORA\"", "lora_alpha": "4"]
private let q = "model.layers.0.self_attn.q_proj"

private func writeVeRA(d: [Int], b: [Int], a: [Int], in folder: String) throws {
    try write(
        [(q + ".vera_lambda_d", d), (q + ".vera_lambda_b", b)],
        shared: [("vera_A", a), ("vera_B", [64, 4])],
        in: folder)
}

private func pair(_ module: String, _ a: [Int], _ b: [Int]) -> [(String, [Int])] {
    [(module + ".lora_A.weight", a), (module + ".lora_B.weight", b)]
}

/// Replaces the weights of an adapter folder by zeros of these shapes.
private func write(
    _ tensors: [(String, [Int])], shared: [(String, [Int])] = [], in folder: String
) throws {
    let all = tensors.map { ("base_model.model." + $0, $1) } + shared.map { ("base_model." + $0, $1) }
    let sources = all.map { name, shape in
        TensorSource(name, shape: shape, [Float](repeating: 0, count: shape.reduce(1, *)))
    }
    try SafetensorsWriter.write(sources, to: folder + "/adapter_model.safetensors")
}
