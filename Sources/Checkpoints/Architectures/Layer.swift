// Makes a layer's specs under its prefix: model.layers.3. and blk.3.

package struct Layer {
    package let index: Int
    /// Of the model.
    package let width: Int
    package let epsilon: Double
    private let prefix: TensorName

    init(_ index: Int, _ layers: String, width: Int, epsilon: Double) {
        (self.index, self.width, self.epsilon) = (index, width, epsilon)
        prefix = TensorName("\(layers)\(index).", gguf: "blk.\(index).")
    }

    package func name(_ name: String, gguf: String) -> TensorName {
        TensorName(prefix.huggingFace + name, gguf: prefix.gguf + gguf)
    }

    package func linear(
        _ name: String, gguf: String, _ inFeatures: Int, _ outputs: Int..., bias: Bool = false,
        order: RowOrder = .asStored
    ) -> LinearSpec {
        LinearSpec(
            name: self.name(name, gguf: gguf), inFeatures: inFeatures, outputs: outputs, hasBias: bias,
            ggufOrder: order)
    }

    package func rms(_ name: String, gguf: String, size: Int? = nil, offset: Double = 0) -> NormSpec {
        NormSpec(
            kind: .rms, name: self.name(name, gguf: gguf), size: size ?? width, epsilon: epsilon,
            offset: offset)
    }

    package func layerNorm(_ name: String, gguf: String) -> NormSpec {
        NormSpec(kind: .layer, name: self.name(name, gguf: gguf), size: width, epsilon: epsilon)
    }
}

extension ModelSpec {
    /// Changes every branch that attends.
    package mutating func changeAttention(
        _ change: (inout BranchSpec, inout AttentionSpec, Layer) throws(FileError) -> Void
    ) throws(FileError) {
        try changeBranches { (branch, layer) throws(FileError) in
            guard case .attention(var attention) = branch.mixer else { return }
            try change(&branch, &attention, layer)
            branch.mixer = .attention(attention)
        }
    }

    /// Changes every feed-forward branch.
    package mutating func changeFeedForward(
        _ change: (inout BranchSpec, Layer) throws(FileError) -> Void
    ) throws(FileError) {
        try changeBranches { (branch, layer) throws(FileError) in
            if case .activation = branch.mixer { try change(&branch, layer) }
        }
    }

    private mutating func changeBranches(
        _ change: (inout BranchSpec, Layer) throws(FileError) -> Void
    ) throws(FileError) {
        let layers = String(embedding.name.huggingFace.dropLast("embed_tokens".count)) + "layers."
        for block in blocks.indices {
            let layer = Layer(block, layers, width: width, epsilon: finalNorm.epsilon)
            for branch in blocks[block].indices { try change(&blocks[block][branch], layer) }
        }
    }
}

extension BranchSpec {
    /// GGUF has the rows of q and k as Hugging Face does.
    package mutating func storesRowsInOrder() {
        for index in inputs.indices { inputs[index].ggufOrder = .asStored }
    }
}
