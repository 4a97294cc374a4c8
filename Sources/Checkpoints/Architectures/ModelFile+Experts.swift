// Mixtures of experts as files describe them.

package struct ExpertCounts: Sendable, Equatable {
    package var all: Int  // E
    package var used: Int  // k, by a token
    package var hidden: Int  // F, the width of each
}

extension ModelFile {
    /// Whether a Hugging Face file has the matrices of experts in MXFP4. Another quantisation stays unread, and is refused.
    package func hasMXFP4() throws(FileError) -> Bool {
        guard case .huggingFace(let fields, _) = source,
            let rule = try fields.optionalFields("quantization_config"),
            try rule.optionalString("quant_method") == "mxfp4"
        else { return false }
        notes.read.insert("quantization_config")
        return true
    }
}

/// What Hugging Face's files call a mixture's router, and the matrices of its experts.
package struct ExpertNames: Sendable {
    package enum Matrices: Sendable {
        /// EXPERTS.7.GATE
        case each(_ experts: String, gate: String, up: String, down: String)
        /// Gate and up of all experts in one tensor, half and half or row by row in turns, and down in another.
        case joined(gateUp: String, inTurns: Bool, down: String, JoinedExpertsSpec.Layout)
    }

    package var router = "mlp.gate"
    package var bias: String?
    package var matrices = Matrices.each(
        "mlp.experts", gate: "gate_proj", up: "up_proj", down: "down_proj")

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
        names: ExpertNames = ExpertNames(), hasBiases: Bool = false
    ) {
        let (gate, up, down) = layer.experts(counts, names.matrices)
        inputs = []
        output = nil
        var experts = ExpertsSpec(
            router: layer.name(names.router, gguf: "ffn_gate_inp"),
            bias: names.bias.map { layer.name($0, gguf: "exp_probs_b.bias") }, used: counts.used, scores,
            function, gate: gate, up: up, down: down)
        experts.hasBiases = hasBiases
        mixer = .experts(experts)
    }
}

extension Layer {
    fileprivate func experts(
        _ counts: ExpertCounts, _ matrices: ExpertNames.Matrices
    ) -> (gate: ExpertMatrixSpec, up: ExpertMatrixSpec, down: ExpertMatrixSpec) {
        let (width, hidden) = (width, counts.hidden)
        func matrix(
            _ name: String, gguf: String, _ stored: ExpertMatrixSpec.Stored, _ inFeatures: Int,
            _ outFeatures: Int
        ) -> ExpertMatrixSpec {
            ExpertMatrixSpec(
                name: self.name(name, gguf: gguf), stored: stored, count: counts.all,
                outFeatures: outFeatures,
                inFeatures: inFeatures)
        }
        switch matrices {
        case .each(let prefix, let gate, let up, let down):
            func each(
                _ suffix: String, gguf: String, _ inFeatures: Int, _ outFeatures: Int
            ) -> ExpertMatrixSpec {
                let names = (0..<counts.all).map { name("\(prefix).\($0).\(suffix)", gguf: gguf).huggingFace }
                return matrix("\(prefix).\(suffix)", gguf: gguf, .each(names), inFeatures, outFeatures)
            }
            return (
                each(gate, gguf: "ffn_gate_exps", width, hidden),
                each(up, gguf: "ffn_up_exps", width, hidden),
                each(down, gguf: "ffn_down_exps", hidden, width)
            )
        case .joined(let gateUp, let inTurns, let down, let layout):
            let both = JoinedExpertsSpec(name(gateUp, gguf: "").huggingFace, rows: 2 * hidden, layout)
            let one = JoinedExpertsSpec(name(down, gguf: "").huggingFace, rows: width, layout)
            let step = inTurns ? 2 : 1
            func half(_ name: String, gguf: String, first: Int) -> ExpertMatrixSpec {
                matrix(name, gguf: gguf, .rows(of: both, first: first, step: step), width, hidden)
            }
            return (
                half("mlp.experts.gate_proj", gguf: "ffn_gate_exps", first: 0),
                half("mlp.experts.up_proj", gguf: "ffn_up_exps", first: inTurns ? 1 : hidden),
                matrix(
                    "mlp.experts.down_proj", gguf: "ffn_down_exps", .rows(of: one, first: 0, step: 1), hidden,
                    width)
            )
        }
    }
}
