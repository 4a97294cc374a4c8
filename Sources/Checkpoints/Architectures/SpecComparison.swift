// Whether two descriptions of a model compute the same: what a file says in another format is read again and held against this.

extension ModelSpec {
    /// What another model computes otherwise: `window of layer 3 is 5, not 0`; nil where both compute the same. Names, and how
    /// files store numbers, do not count.
    package func difference(from other: ModelSpec) -> String? {
        let (own, others) = (facts, other.facts)
        for (a, b) in zip(own, others) {
            if a.name != b.name { return "has \(a.name), not \(b.name)" }
            if abs(a.value - b.value) > 1e-5 * max(abs(a.value), abs(b.value)) {
                return "\(a.name) is \(a.value.short), not \(b.value.short)"
            }
        }
        return own.count == others.count ? nil : "it has another number of parts"
    }

    private typealias Fact = (name: String, value: Double)

    private var facts: [Fact] {
        var facts: [Fact] = [
            ("the vocabulary", Double(vocabulary)), ("the width", Double(width)),
            ("the number of positions", Double(positions)), ("the scale of embeddings", embedding.scale),
            ("a table of positions", embedding.positions == nil ? 0 : 1),
            ("a head of its own", head.isTied ? 0 : 1), ("the scale of logits", head.scale),
            ("the cap of logits", head.logitCap ?? 0), ("the number of layers", Double(blocks.count)),
        ]
        facts += embedding.norm?.facts("the norm of embeddings") ?? []
        facts += finalNorm?.facts("the last norm") ?? []
        for (index, block) in blocks.enumerated() {
            for branch in block { facts += branch.facts(" of layer \(index)", positions: positions) }
        }
        return facts
    }
}

extension Double {
    fileprivate var short: String { self == rounded() && abs(self) < 1e15 ? String(Int(self)) : description }
}

extension BranchSpec {
    fileprivate func facts(_ layer: String, positions: Int) -> [(name: String, value: Double)] {
        var facts: [(name: String, value: Double)] = [("the scale of a branch" + layer, scale)]
        facts += before?.facts("the norm before a branch" + layer) ?? []
        facts += after?.facts("the norm behind a branch" + layer) ?? []
        facts += sum?.facts("the norm of a sum" + layer) ?? []
        for linear in linears {
            facts += linear.outputs.map { ("the width of \(linear.name.gguf)", Double($0)) }
            facts.append(("a bias of \(linear.name.gguf)", linear.hasBias ? 1 : 0))
        }
        switch mixer {
        case .attention(let attention): facts += attention.facts(layer, positions: positions)
        case .activation(let activation):
            facts.append(("the activation" + layer, Double(activation.function.number)))
            facts.append(("a gate" + layer, activation.isGated ? 1 : 0))
        case .convolution(let convolution):
            facts.append(("the number of taps" + layer, Double(convolution.taps)))
            facts.append(("a bias of the convolution" + layer, convolution.hasBias ? 1 : 0))
        case .experts(let experts):
            facts.append(("the number of experts" + layer, Double(experts.count)))
            facts.append(("the number of experts a token uses" + layer, Double(experts.used)))
            facts.append(("the experts' activation" + layer, Double(experts.function.number)))
            facts.append(("the experts' width" + layer, Double(experts.gate.outFeatures)))
            facts.append(("a bias of the choice" + layer, experts.bias == nil ? 0 : 1))
            facts.append(("biases of experts" + layer, experts.hasBiases ? 1 : 0))
            switch experts.scores {
            case .softmax(let ofChosen): facts.append(("softmax scores" + layer, ofChosen ? 1 : 0))
            case .sigmoid(let isNormalised, let scale):
                facts.append(("sigmoid scores" + layer, isNormalised ? 1 : 0))
                facts.append(("the scale of scores" + layer, scale))
            }
        }
        return facts
    }
}

extension Activation {
    fileprivate var number: Int { Activation.allCases.firstIndex(of: self) ?? 0 }
}

extension NormSpec {
    fileprivate func facts(_ name: String) -> [(name: String, value: Double)] {
        [
            (name + " of \(kind.rawValue)", Double(size)), ("epsilon of " + name, epsilon),
            ("a bias of " + name, hasBias ? 1 : 0),
        ]
    }
}

extension AttentionSpec {
    fileprivate func facts(_ layer: String, positions: Int) -> [(name: String, value: Double)] {
        // A window as long as the longest sequence hides nothing.
        let window = window.flatMap { $0 < positions ? $0 : nil } ?? 0
        var facts: [(name: String, value: Double)] = [
            ("the number of heads" + layer, Double(heads)),
            ("the number of key/value heads" + layer, Double(kvHeads)),
            ("the head size" + layer, Double(headSize)), ("the window" + layer, Double(window)),
            ("the scale of scores" + layer, scale), ("the cap of scores" + layer, scoreCap ?? 0),
            ("sight of what comes" + layer, isCausal ? 0 : 1), ("sinks" + layer, sinks == nil ? 0 : 1),
        ]
        facts += queryNorm?.facts("the norm of queries" + layer) ?? []
        facts += keyNorm?.facts("the norm of keys" + layer) ?? []
        guard let rope else { return facts }
        facts.append(("the number of rotating numbers" + layer, Double(rope.size)))
        facts.append(("interleaved rotation" + layer, rope.isInterleaved ? 1 : 0))
        facts.append(("the factor of rotations" + layer, rope.attentionFactor))
        let short = rope.shortPositions ?? 0
        facts.append(("the positions of short sequences" + layer, Double(short)))
        for tokens in [0, Int.max] {
            for frequency in rope.inverseFrequencies(tokens: tokens) {
                facts.append(("a rotary frequency" + layer, frequency))
            }
        }
        facts.append(("the growth of queries" + layer, rope.queryGrowth?.beta ?? 0))
        return facts
    }
}
