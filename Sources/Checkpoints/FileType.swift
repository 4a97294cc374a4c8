// What a GGUF file of a model is called by: `Q4_K_M` says which type each tensor has. Plain types are for all matrices, mixes give
// more bits to tensors that lose more by rounding. The choice is llama.cpp's (llama-quantize), without an importance matrix.

package struct FileType: Sendable, Hashable {
    package let name: String
    /// `general.file_type`.
    package let number: UInt32
    /// Of most tensors.
    package let base: StorageType
    fileprivate let mix: Mix

    fileprivate enum Mix { case plain, two, small, medium, large }

    package static let all: [FileType] = [
        FileType(name: "F32", number: 0, base: .f32, mix: .plain),
        FileType(name: "F16", number: 1, base: .f16, mix: .plain),
        FileType(name: "BF16", number: 32, base: .bf16, mix: .plain),
        FileType(name: "Q8_0", number: 7, base: .q8_0, mix: .plain),
        FileType(name: "Q6_K", number: 18, base: .q6_K, mix: .plain),
        FileType(name: "Q5_K_M", number: 17, base: .q5_K, mix: .medium),
        FileType(name: "Q5_K_S", number: 16, base: .q5_K, mix: .small),
        FileType(name: "Q5_1", number: 9, base: .q5_1, mix: .plain),
        FileType(name: "Q5_0", number: 8, base: .q5_0, mix: .plain),
        FileType(name: "Q4_K_M", number: 15, base: .q4_K, mix: .medium),
        FileType(name: "Q4_K_S", number: 14, base: .q4_K, mix: .small),
        FileType(name: "Q4_1", number: 3, base: .q4_1, mix: .plain),
        FileType(name: "Q4_0", number: 2, base: .q4_0, mix: .plain),
        FileType(name: "Q3_K_L", number: 13, base: .q3_K, mix: .large),
        FileType(name: "Q3_K_M", number: 12, base: .q3_K, mix: .medium),
        FileType(name: "Q3_K_S", number: 11, base: .q3_K, mix: .small),
        FileType(name: "Q2_K", number: 10, base: .q2_K, mix: .two),
    ]

    /// In any case of letters; Q4_K means Q4_K_M.
    package static func named(_ name: String) -> FileType? {
        let name = name.uppercased()
        return all.first { $0.name == name } ?? all.first { $0.name == name + "_M" }
    }

    /// `Q4_0`, not `Q4_K_M`: the name of a file of which only some tensors are known.
    package var isNamedByItsType: Bool { name == base.name || mix == .medium || mix == .two }

    /// Whether all tensors have one type, which also says how a single tensor is stored.
    package var isPlain: Bool { base.blockElements <= 32 }
}

extension FileType {
    /// What decides beside a tensor's name and shape.
    private struct Model {
        let isTied: Bool
        let layers: Int
        /// Layers that have values, or q, k and v as one.
        let attending: Int
        let groups: Int  // queries to a key, in the first layer
        let experts: Int
        let isOf70B: Bool

        init(_ spec: ModelSpec) {
            (isTied, layers) = (spec.head.isTied, spec.blocks.count)
            attending = spec.attentions.count
            var first: AttentionSpec?
            for branch in spec.blocks.first ?? [] {
                if case .attention(let attention) = branch.mixer { first = attention }
            }
            groups = first.map { $0.heads / $0.kvHeads } ?? 0
            experts = spec.experts.first?.count ?? 0
            isOf70B =
                layers == 80 && (spec.gguf == "qwen2" || spec.gguf == "llama" && groups > 1)
        }
    }

    /// The type of each tensor of a GGUF file, by its name there; nil where the tensor stays as it is, or F32.
    package func types(_ tensors: [ExpectedTensor], of spec: ModelSpec) -> [String: StorageType] {
        let model = Model(spec)
        var types: [String: StorageType] = [:]
        // By layer, then by name: some choices count the tensors of their kind.
        let ordered = tensors.filter(FileType.isQuantised).map {
            ($0, layer: FileType.layer(of: $0.ggufName))
        }
        .sorted { ($0.layer, $0.0.ggufName) < ($1.layer, $1.0.ggufName) }
        var values = 0
        for (tensor, layer) in ordered {
            let kind = Kind(tensor.ggufName)
            var type = base
            if base.blockElements > 1 {
                let columns = tensor.shape.last ?? 0
                type = self.type(of: kind, layer: layer, columns: columns, values: values, model)
                type = FileType.fitting(type, columns: columns)
            }
            if kind == .values || kind == .attention { values += 1 }
            types[tensor.ggufName] = type
        }
        return types
    }

    /// Vectors, norms, routers, learned positions and taps of convolutions keep their precision.
    private static func isQuantised(_ tensor: ExpectedTensor) -> Bool {
        let name = tensor.ggufName
        return tensor.shape.drop { $0 == 1 }.count > 1 && name.hasSuffix("weight")
            && !name.hasSuffix("_norm.weight") && !name.hasSuffix("ffn_gate_inp.weight")
            && !name.hasSuffix("shortconv.conv.weight") && !name.hasPrefix("position_embd")
    }

    private enum Kind: Equatable {
        case output, embedding, attention, values, keys, attentionOutput, down, other

        init(_ name: String) {
            let part = name.hasPrefix("blk.") ? name.split(separator: ".").dropFirst(2).first ?? "" : ""
            self =
                switch part {
                case "attn_qkv": .attention
                case "attn_v": .values
                case "attn_k": .keys
                case "attn_output": .attentionOutput
                case _ where part.hasPrefix("ffn_down"): .down
                default: name == "output.weight" ? .output : name == "token_embd.weight" ? .embedding : .other
                }
        }
    }

    /// −1 outside of layers.
    private static func layer(of name: String) -> Int {
        let parts = name.split(separator: ".")
        return parts.first == "blk" && parts.count > 1 ? Int(parts[1]) ?? -1 : -1
    }

    /// Of a tensor of a layer; `values` is how many of the values' kind were before it.
    private func type(of kind: Kind, layer: Int, columns: Int, values: Int, _ model: Model) -> StorageType {
        switch kind {
        case .output: return outputType(columns)
        case .embedding: return model.isTied ? outputType(columns) : base
        case .attention, .values:
            if model.experts == 8 { return .q8_0 }
            let type = valuesType(values, model)
            return model.isOf70B && (type == .q3_K || type == .q4_K) ? .q5_K : type
        case .keys: return model.experts == 8 ? .q8_0 : base
        case .down: return downType(layer, model)
        case .attentionOutput:
            if model.experts == 8 {
                let isSmall = mix == .two || base == .q4_K || base == .q3_K && mix != .large
                return isSmall ? .q5_K : base
            }
            switch (base, mix) {
            case (_, .two): return .q3_K
            case (.q3_K, .medium): return .q4_K
            case (.q3_K, .large): return .q5_K
            default: return base
            }
        case .other: return base
        }
    }

    private func outputType(_ columns: Int) -> StorageType {
        base == .q8_0 || columns % base.blockElements != 0 ? .q8_0 : .q6_K
    }

    private func valuesType(_ index: Int, _ model: Model) -> StorageType {
        switch (base, mix) {
        case (_, .two): model.groups >= 4 ? .q4_K : .q3_K
        case (.q3_K, .medium): index < 2 ? .q5_K : .q4_K
        case (.q3_K, .large): .q5_K
        case (.q4_K, .small): index < 4 ? .q5_K : base
        case (_, .medium): FileType.hasMoreBits(index, of: model.attending) ? .q6_K : base
        default: base
        }
    }

    private func downType(_ layer: Int, _ model: Model) -> StorageType {
        switch (base, mix) {
        case (_, .two): .q3_K
        case (.q3_K, .medium): layer < model.layers / 16 ? .q5_K : .q4_K
        case (.q3_K, .large): .q5_K
        case (.q4_K, .small): layer < model.layers / 8 ? .q5_K : base
        case (_, .medium): FileType.hasMoreBits(layer, of: model.layers) ? .q6_K : base
        default: base
        }
    }

    /// The first and last eighth, and every third of those between.
    private static func hasMoreBits(_ index: Int, of count: Int) -> Bool {
        index < count / 8 || index >= 7 * count / 8 || (index - count / 8) % 3 == 2
    }

    /// One with smaller blocks where rows are not whole blocks.
    package static func fitting(_ type: StorageType, columns: Int) -> StorageType {
        if columns % type.blockElements == 0 { return type }
        let smaller: StorageType =
            switch type {
            case .q2_K, .q3_K: .q4_0
            case .q4_K: .q5_0
            case .q5_K: .q5_1
            case .q6_K: .q8_0
            default: type
            }
        return columns % smaller.blockElements == 0 ? smaller : .f16
    }
}
