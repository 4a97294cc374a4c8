// The tensors that a model has, from its spec: both names, shape and order of each.

package struct ExpectedTensor: Sendable, Equatable {
    package let name: String  // Hugging Face's
    package let ggufName: String
    package let shape: [Int]
    /// How GGUF stores its rows.
    package var ggufOrder = RowOrder.asStored
    /// Hugging Face's file has the matrix as (in, out).
    package var isTransposed = false
    /// Bytes that are no numbers by themselves.
    package fileprivate(set) var isPacked = false
    private var ownShape: [Int]?

    fileprivate init(_ name: TensorName, _ shape: [Int], part: String = ".weight") {
        (self.name, ggufName, self.shape) = (name.huggingFace + part, name.gguf + part, shape)
    }

    /// Of Hugging Face's files alone.
    fileprivate init(_ name: String, _ shape: [Int], isPacked: Bool = false) {
        (self.name, ggufName, self.shape, self.isPacked) = (name, "", shape, isPacked)
    }

    /// As Hugging Face's file has it.
    package fileprivate(set) var huggingFaceShape: [Int] {
        get { ownShape ?? (isTransposed ? shape.reversed() : shape) }
        set { ownShape = newValue }
    }
}

extension ModelSpec {
    /// Every tensor of the model as Hugging Face's files have them, in the order of its layers.
    package var expectedTensors: [ExpectedTensor] { expectedTensors(of: .huggingFace) }

    /// The same of a kind of files: those of experts are one tensor in GGUF.
    package func expectedTensors(of format: Checkpoint.Format) -> [ExpectedTensor] {
        var tensors = [ExpectedTensor(embedding.name, [vocabulary, width])]
        if let name = embedding.positions { tensors.append(ExpectedTensor(name, [positions, width])) }
        for branch in branches { tensors += branch.expectedTensors(format) }
        tensors += finalNorm.expectedTensors
        if let name = head.name { tensors.append(ExpectedTensor(name, [vocabulary, width])) }
        return tensors
    }
}

extension BranchSpec {
    fileprivate func expectedTensors(_ format: Checkpoint.Format) -> [ExpectedTensor] {
        var tensors = before?.expectedTensors ?? []
        for linear in inputs { tensors += linear.expectedTensors }
        switch mixer {
        case .attention(let attention):
            for norm in [attention.queryNorm, attention.keyNorm] { tensors += norm?.expectedTensors ?? [] }
            if let sinks = attention.sinks {
                tensors.append(ExpectedTensor(sinks, [attention.heads], part: ""))
            }
        case .convolution(let convolution): tensors += convolution.expectedTensors
        case .experts(let experts): tensors += experts.expectedTensors(format)
        case .activation: break
        }
        return tensors + (output?.expectedTensors ?? []) + (after?.expectedTensors ?? [])
    }
}

extension LinearSpec {
    fileprivate var expectedTensors: [ExpectedTensor] {
        var weight = ExpectedTensor(name, [outFeatures, inFeatures])
        (weight.ggufOrder, weight.isTransposed) = (ggufOrder, isTransposed)
        guard hasBias else { return [weight] }
        var bias = ExpectedTensor(name, [outFeatures], part: ".bias")
        bias.ggufOrder = ggufOrder
        return [weight, bias]
    }
}

extension ConvolutionSpec {
    fileprivate var expectedTensors: [ExpectedTensor] {
        var weight = ExpectedTensor(name, [channels, taps])
        weight.huggingFaceShape = [channels, 1, taps]
        return [weight] + (hasBias ? [ExpectedTensor(name, [channels], part: ".bias")] : [])
    }
}

extension ExpertsSpec {
    fileprivate func expectedTensors(_ format: Checkpoint.Format) -> [ExpectedTensor] {
        var tensors = [ExpectedTensor(router, [count, gate.inFeatures])]
        if hasBiases { tensors.append(ExpectedTensor(router, [count], part: ".bias")) }
        if let bias { tensors.append(ExpectedTensor(bias, [count], part: "")) }
        let matrices = [gate, up, down]
        if format == .gguf {
            tensors += matrices.map { ExpectedTensor($0.name, [count, $0.outFeatures, $0.inFeatures]) }
            guard hasBiases else { return tensors }
            return tensors + matrices.map { ExpectedTensor($0.name, [count, $0.outFeatures], part: ".bias") }
        }
        var biases: [ExpectedTensor] = []
        var known: Set<String> = []
        for matrix in matrices {
            switch matrix.stored {
            case .each(let names):
                tensors += names.map {
                    ExpectedTensor(
                        TensorName($0, gguf: matrix.name.gguf), [matrix.outFeatures, matrix.inFeatures])
                }
            case .rows(let joined, _, _):
                guard known.insert(joined.name).inserted else { continue }
                tensors += joined.expectedTensors(count, matrix.inFeatures)
                biases.append(ExpectedTensor(joined.biasName, [count, joined.rows]))
            }
        }
        return tensors + (hasBiases ? biases : [])
    }
}

extension JoinedExpertsSpec {
    fileprivate func expectedTensors(_ experts: Int, _ inFeatures: Int) -> [ExpectedTensor] {
        switch layout {
        case .rows: [ExpectedTensor(name, [experts, rows, inFeatures])]
        case .columns: [ExpectedTensor(name, [experts, inFeatures, rows])]
        case .mxfp4:
            [
                ExpectedTensor(blocksName, [experts, rows, inFeatures / 32, 16], isPacked: true),
                ExpectedTensor(scalesName, [experts, rows, inFeatures / 32], isPacked: true),
            ]
        }
    }

    package var blocksName: String { name + "_blocks" }
    package var scalesName: String { name + "_scales" }
}

extension NormSpec {
    fileprivate var expectedTensors: [ExpectedTensor] {
        [ExpectedTensor(name, [size])] + (hasBias ? [ExpectedTensor(name, [size], part: ".bias")] : [])
    }
}
