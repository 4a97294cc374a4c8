// The tensors that a model has, from its spec: both names, shape and order of each.

package struct ExpectedTensor: Sendable, Equatable {
    package let name: String  // Hugging Face's
    package let ggufName: String
    package let shape: [Int]
    /// How GGUF stores its rows.
    package var ggufOrder = RowOrder.asStored
    /// Hugging Face's file has the matrix as (in, out).
    package var isTransposed = false
    private var ownShape: [Int]?

    fileprivate init(_ name: TensorName, _ shape: [Int], part: String = ".weight") {
        (self.name, ggufName, self.shape) = (name.huggingFace + part, name.gguf + part, shape)
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
        if let name = embedding.positions {
            tensors.append(ExpectedTensor(name, [positions + embedding.firstPosition, width]))
        }
        if let name = embedding.types { tensors.append(ExpectedTensor(name, [embedding.typeCount, width])) }
        tensors += embedding.norm?.expectedTensors ?? []
        for branch in branches { tensors += branch.expectedTensors(format) }
        tensors += finalNorm?.expectedTensors ?? []
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
        case .convolution(let convolution): tensors += convolution.expectedTensors
        case .experts(let experts): tensors += experts.expectedTensors(format)
        case .activation: break
        }
        return tensors
            + [output?.expectedTensors, after?.expectedTensors, sum?.expectedTensors].flatMap { $0 ?? [] }
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
        [ExpectedTensor(router, [count, gate.inFeatures])]
            + (bias.map { [ExpectedTensor($0, [count], part: "")] } ?? [])
            + [gate, up, down].flatMap { matrix in
                let shape = [matrix.outFeatures, matrix.inFeatures]
                return format == .gguf
                    ? [ExpectedTensor(matrix.name, [count] + shape)]
                    : matrix.names.map { ExpectedTensor(TensorName($0, gguf: matrix.name.gguf), shape) }
            }
    }
}

extension NormSpec {
    fileprivate var expectedTensors: [ExpectedTensor] {
        [ExpectedTensor(name, [size])] + (hasBias ? [ExpectedTensor(name, [size], part: ".bias")] : [])
    }
}
