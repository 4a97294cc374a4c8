// Which layers a target means, the scaling, and what is refused.

import LoRAVK
import Testing

@Suite struct LoRAConfigTests {
    private static let kinds = [
        "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj", "mlp.gate_proj",
        "mlp.up_proj",
        "mlp.down_proj",
    ]
    private let linears = (0..<12).flatMap { layer in kinds.map { "model.layers.\(layer).\($0)" } }

    private func modules(_ names: String...) throws -> [String] {
        var config = LoRAConfig()
        config.targets = .names(names)
        return try config.modules(of: linears)
    }

    @Test func allLinearMeansAllOfTheBlocks() throws {
        #expect(try LoRAConfig().modules(of: linears) == linears)
    }

    @Test func namesMeanWholeParts() throws {
        #expect(try modules("q_proj") == linears.filter { $0.hasSuffix(".q_proj") })
        #expect(
            try modules("mlp.up_proj", "v_proj")
                == linears.filter { $0.hasSuffix(".up_proj") || $0.hasSuffix(".v_proj") })
        #expect(try modules("layers.1.self_attn.q_proj") == ["model.layers.1.self_attn.q_proj"])
        #expect(try modules("model.layers.11.mlp.down_proj") == ["model.layers.11.mlp.down_proj"])
    }

    @Test func starsStandForAnyText() throws {
        #expect(try modules("layers.1*.mlp.up_proj").count == 3)  // 1, 10, 11
        #expect(try modules("layers.1.*").count == 7)
        #expect(try modules("*_proj") == linears)
        #expect(try modules("*") == linears)
        #expect(try modules("layers.*.self_attn.*").count == 48)
        #expect(try modules("q*").count == 12)
    }

    @Test(arguments: ["proj", "q_pro", "Q_proj", "attn.q_proj", "layers.12.*", "lm_head", "", "q_proj*x"])
    func aTargetThatMeansNothingIsRefused(_ name: String) {
        let error = #expect(throws: ConfigError.self) { try modules("v_proj", name) }
        #expect(
            error?.description.hasPrefix("the target module '\(name)' matches no linear layer of the model")
                == true)
        #expect(
            error?.description.contains("down_proj, gate_proj, k_proj, o_proj, q_proj, up_proj, v_proj")
                == true)
        #expect(error?.description.contains("model.layers.0.self_attn.q_proj") == true)
    }

    @Test func scalingIsThatOfPEFT() {
        var config = LoRAConfig()
        (config.rank, config.alpha) = (4, 6)
        #expect(config.scaling == 1.5)
        config.usesRsLoRA = true
        #expect(config.scaling == 3)
    }

    @Test func badSettingsAreRefused() {
        func refused(_ text: String, _ change: (inout LoRAConfig) -> Void) {
            var config = LoRAConfig()
            change(&config)
            let error = #expect(throws: ConfigError.self) { try config.validate() }
            #expect(error?.description.hasPrefix(text) == true)
        }
        for rank in [0, -1, 4097, .max, .min] { refused("the LoRA rank is \(rank)") { $0.rank = rank } }
        for alpha in [0, -2, .infinity] { refused("the LoRA alpha is \(alpha)") { $0.alpha = alpha } }
        refused("the LoRA alpha is nan") { $0.alpha = .nan }
        for dropout in [-0.1, 1, .infinity] {
            refused("the LoRA dropout is \(dropout)") { $0.dropout = dropout }
        }
        refused("the LoRA dropout is nan") { $0.dropout = .nan }
        #expect(throws: Never.self) { try LoRAConfig().validate() }
    }
}
