// PEFT adapters: what PEFT wrote is read, means what PEFT means, and is written again byte for byte.

import Checkpoints
import Testing

@Suite struct AdapterTests {
    @Test(arguments: ["plain", "patterns", "dora", "saved", "vera"])
    func readAndWrittenItIsTheSameBytes(_ name: String) throws {
        let adapter = try AdapterFiles(fixture("adapters/" + name))
        _ = try adapter.matched(to: Checkpoint.open(path: fixture("tiny-hf")))
        _ = try adapter.matched(to: Checkpoint.open(path: fixture("tiny.gguf")))
        var tensors: [TensorSource] = []
        for module in adapter.modules {
            for (part, tensor) in module.parts {
                tensors.append(TensorSource(tensor, name: AdapterFiles.key(module.name, part)))
            }
        }
        tensors += adapter.shared.map { TensorSource($1, name: $0.key) }
        tensors += adapter.saved.map { TensorSource($0, name: AdapterFiles.key(saved: $0.name)) }
        try withTemporaryFolder { folder in
            try AdapterFiles.write(adapter.config, tensors.reversed(), to: folder + "/out/adapter")
            for file in [AdapterFiles.configName, AdapterFiles.weightsName] {
                let written = try contents(folder + "/out/adapter/" + file)
                #expect(try written == contents(fixture("adapters/\(name)/\(file)")), "\(file)")
            }
        }
        #expect(try adapter.warnings(for: Checkpoint.open(path: fixture("tiny-hf"))).isEmpty)
    }

    @Test func patternsMeanWhatPEFTMeans() throws {
        let adapter = try AdapterFiles(fixture("adapters/patterns"))
        let modules = Dictionary(uniqueKeysWithValues: adapter.modules.map { ($0.name, $0) })
        #expect(modules.count == 14)
        let first = try #require(modules["model.layers.0.self_attn.q_proj"])
        let second = try #require(modules["model.layers.1.self_attn.q_proj"])
        let up = try #require(modules["model.layers.1.mlp.up_proj"])
        let down = try #require(modules["model.layers.1.mlp.down_proj"])
        #expect([first, second, up, down].map(\.rank) == [8, 4, 4, 2])
        #expect(first.scaling == 8.5 / 8.0.squareRoot())
        #expect(second.scaling == 8.5 / 2 && up.scaling == 3.0 / 2)
    }

    @Test func aNewConfigIsWhatPEFTWrites() throws {
        var config = PEFTConfig(
            rank: 4, alpha: 8, targetModules: .names(["q_proj", "v_proj"]), baseModel: "tiny-hf")
        let written = try PEFTConfig.read(fixture("adapters/plain/adapter_config.json"))
        guard case .names(let names) = written.targetModules else { return #expect(Bool(false)) }
        config.targetModules = .names(names)  // PEFT keeps a set: any order
        #expect(try Array(config.text.utf8) == contents(fixture("adapters/plain/adapter_config.json")))
        #expect(Set(names) == ["q_proj", "v_proj"])
    }

    /// PEFT writes it for GPT-2. A model whose matrices lie otherwise is right, and the config is not.
    @Test(arguments: ["plain", "dora", "vera"])
    func fanInFanOutIsReadAndWritten(_ name: String) throws {
        try withTemporaryFolder { folder in
            for file in [AdapterFiles.configName, AdapterFiles.weightsName] {
                try copy(fixture("adapters/\(name)/\(file)"), to: "\(folder)/\(file)")
            }
            let path = "\(folder)/\(AdapterFiles.configName)"
            let plain = try PEFTConfig.read(path)
            try changeJSON(path, ["fan_in_fan_out": "true"])
            let files = try AdapterFiles(folder)
            #expect(files.config.fanInFanOut && files.config != plain)
            #expect(files.config.text.contains("\"fan_in_fan_out\": true"))
            let base = try Checkpoint.open(path: fixture("tiny-hf"))
            #expect(files.config(for: base).text == plain.text)
            #expect(
                files.warnings(for: base) == [
                    "adapter_config.json: 'fan_in_fan_out' is true, but the base model has the matrices as "
                        + "(out, in); it was ignored"
                ])
        }
    }

    /// An unknown key that says nothing is kept; others are among the bad files.
    @Test func keysThatSayNothingAreKept() throws {
        try withTemporaryFolder { folder in
            let path = folder + "/adapter_config.json"
            try copy(fixture("adapters/plain/adapter_config.json"), to: path)
            try changeJSON(
                path,
                [
                    "peft_version": "\"9.9\"", "some_key": "false", "other_key": "[]", "kasa_config": "null",
                    "lora_alpha": "8.0",
                ])
            let config = try PEFTConfig.read(path)
            #expect(
                config.text.contains("\"peft_version\": \"9.9\"")
                    && config.text.contains("\"some_key\": false"))
            #expect(config.text.contains("\"lora_alpha\": 8.0"))
            var changed = config
            changed.alpha = 16
            #expect(changed.text.contains("\"lora_alpha\": 16,"))
        }
    }
}
