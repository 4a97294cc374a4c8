// The tensors that a model has, from its spec: both names, shape and order of each.

package struct ExpectedTensor: Sendable, Equatable {
    package let name: String  // Hugging Face's
    package let ggufName: String
    package let shape: [Int]
    /// How GGUF stores its rows.
    package var ggufOrder = RowOrder.asStored
    /// Hugging Face's file has the matrix as (in, out).
    package var isTransposed = false

    fileprivate init(_ name: TensorName, _ shape: [Int], part: String = ".weight") {
        (self.name, ggufName, self.shape) = (name.huggingFace + part, name.gguf + part, shape)
    }

    /// As Hugging Face's file has it.
    package var huggingFaceShape: [Int] { isTransposed ? shape.reversed() : shape }
}

extension ModelSpec {
    /// Every tensor of the model, in the order of its layers.
    package var expectedTensors: [ExpectedTensor] {
        var tensors = [ExpectedTensor(embedding.name, [vocabulary, width])]
        if let name = embedding.positions { tensors.append(ExpectedTensor(name, [positions, width])) }
        for branch in branches { tensors += branch.expectedTensors }
        tensors += finalNorm.expectedTensors
        if let name = head.name { tensors.append(ExpectedTensor(name, [vocabulary, width])) }
        return tensors
    }
}

extension BranchSpec {
    fileprivate var expectedTensors: [ExpectedTensor] {
        var tensors = before?.expectedTensors ?? []
        for linear in inputs { tensors += linear.expectedTensors }
        if case .attention(let attention) = mixer {
            for norm in [attention.queryNorm, attention.keyNorm] { tensors += norm?.expectedTensors ?? [] }
        }
        return tensors + output.expectedTensors + (after?.expectedTensors ?? [])
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

extension NormSpec {
    fileprivate var expectedTensors: [ExpectedTensor] {
        [ExpectedTensor(name, [size])] + (hasBias ? [ExpectedTensor(name, [size], part: ".bias")] : [])
    }
}
