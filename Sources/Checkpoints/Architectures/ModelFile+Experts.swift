// Mixtures of experts as files describe them.

package struct ExpertCounts: Sendable, Equatable {
    package var all: Int  // E
    package var used: Int  // k, by a token
    package var hidden: Int  // F, the width of each
}

/// What Hugging Face's files call a mixture's router, and the matrices of its experts: EXPERTS.7.GATE.
package struct ExpertNames: Sendable {
    package var router = "mlp.gate"
    package var bias: String?
    package var experts = "mlp.experts"
    package var gate = "gate_proj"
    package var up = "up_proj"
    package var down = "down_proj"

    package init() {}
}

extension ModelFile {
    /// `hidden`: the key of the width of each.
    package func experts(hidden: ModelKey, isSigmoid: Bool = false) throws(FileError) -> ExpertCounts {
        // Newer files call them local, and may have both names.
        let range = 1...ExpertsSpec.most
        let newer = try optionalInteger(ModelKey("num_local_experts"), in: range)
        let key = ModelKey("num_experts", gguf: "expert_count")
        let all: Int
        if let newer { all = newer } else { all = try integer(key, in: range) }
        notes.read.insert(key.huggingFace)
        // How llama.cpp's loader names softmax and sigmoid; where it is left out, the architecture says.
        let gating = ModelKey(gguf: "expert_gating_func")
        if isGGUF { _ = try optionalInteger(gating, in: isSigmoid ? 2...2 : 1...1) }
        if isSigmoid { note(gating, .uint32(2)) }
        note(key, .uint32(UInt32(all)))
        return ExpertCounts(
            all: all,
            used: try integer(ModelKey("num_experts_per_tok", gguf: "expert_used_count"), in: 1...all),
            hidden: try integer(hidden, in: ModelKey.Range.width))
    }
}

extension ModelFile {
    /// The same of a GGUF file whose architecture may have experts; nil where it has none.
    package func optionalGGUFExperts(hidden: ModelKey) throws(FileError) -> ExpertCounts? {
        guard isGGUF, let all = try optionalInteger(ModelKey(gguf: "expert_count")), all > 0 else {
            return nil
        }
        return try experts(hidden: hidden)
    }
}

extension BranchSpec {
    /// A mixture of experts in the place of an MLP.
    package mutating func mixExperts(
        _ counts: ExpertCounts, _ scores: ExpertsSpec.Scores, _ function: Activation, _ layer: Layer,
        names: ExpertNames = ExpertNames()
    ) {
        func matrix(_ name: String, gguf: String, _ inFeatures: Int, _ outFeatures: Int) -> ExpertMatrixSpec {
            layer.experts(names.experts, name, gguf: gguf, count: counts.all, inFeatures, outFeatures)
        }
        inputs = []
        output = nil
        mixer = .experts(
            ExpertsSpec(
                router: layer.name(names.router, gguf: "ffn_gate_inp"),
                bias: names.bias.map { layer.name($0, gguf: "exp_probs_b.bias") }, used: counts.used, scores,
                function,
                gate: matrix(names.gate, gguf: "ffn_gate_exps", layer.width, counts.hidden),
                up: matrix(names.up, gguf: "ffn_up_exps", layer.width, counts.hidden),
                down: matrix(names.down, gguf: "ffn_down_exps", counts.hidden, layer.width)))
    }
}
