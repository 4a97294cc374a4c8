// A matrix of each of a layer's experts, as rows (O, I), however a file has them: a tensor of all, one an expert, or rows or columns of
// one that holds several kinds; MXFP4 in GGUF's blocks, or as blocks and scales apart.

package struct ExpertMatrices {
    package let spec: ExpertMatrixSpec
    private let tensors: [StoredTensor]
    private let isGGUF: Bool

    fileprivate init(_ spec: ExpertMatrixSpec, of checkpoint: Checkpoint) throws(FileError) {
        (self.spec, isGGUF) = (spec, checkpoint.format == .gguf)
        let names: [String]
        switch spec.stored {
        case _ where isGGUF: names = [spec.name.huggingFace + ".weight"]
        case .each(let all): names = all.map { $0 + ".weight" }
        case .rows(let joined, _, _):
            names = joined.layout == .mxfp4 ? [joined.blocksName, joined.scalesName] : [joined.name]
        }
        var tensors: [StoredTensor] = []
        for name in names { tensors.append(try checkpoint.tensor(name)) }
        self.tensors = tensors
    }

    /// What `bytes` gives of each expert.
    package func type(of expert: Int) -> StorageType {
        if isGGUF { return tensors[0].type }
        switch spec.stored {
        case .each: return tensors[expert].type
        case .rows(let joined, _, _): return joined.layout == .mxfp4 ? .mxfp4 : tensors[0].type
        }
    }

    /// Where an expert's numbers come from.
    package func tensor(of expert: Int) -> StoredTensor {
        tensors.count == spec.count ? tensors[expert] : tensors[0]
    }

    /// The rows of an expert's matrix.
    package func bytes(of expert: Int) throws(FileError) -> [UInt8] {
        let rows = spec.outFeatures
        if isGGUF { return try tensors[0].bytes(rows: expert * rows..<(expert + 1) * rows) }
        switch spec.stored {
        case .each: return try tensors[expert].bytes(rows: 0..<rows)
        case .rows(let joined, let first, let step):
            return pick(try wholeRows(joined, expert), of: joined, first: first, step: step)
        }
    }

    /// All rows of an expert in a joined tensor; where that has columns, those.
    private func wholeRows(_ joined: JoinedExpertsSpec, _ expert: Int) throws(FileError) -> [UInt8] {
        func part(_ tensor: StoredTensor) throws(FileError) -> [UInt8] {
            let rows = tensor.rows / spec.count
            return try tensor.bytes(rows: expert * rows..<(expert + 1) * rows)
        }
        guard joined.layout == .mxfp4 else { return try part(tensors[0]) }
        return ggufMXFP4(blocks: try part(tensors[0]), scales: try part(tensors[1]))
    }

    private func pick(
        _ whole: [UInt8], of joined: JoinedExpertsSpec, first: Int, step: Int
    ) -> [UInt8] {
        let (rows, columns) = (spec.outFeatures, spec.inFeatures)
        if joined.layout == .columns {
            let size = tensors[0].type.blockBytes
            return [UInt8](unsafeUninitializedCapacity: rows * columns * size) { target, count in
                count = rows * columns * size
                var next = 0
                for row in 0..<rows {
                    for column in 0..<columns {
                        let from = (column * joined.rows + first + row * step) * size
                        for byte in 0..<size {
                            target.initializeElement(at: next, to: whole[from + byte])
                            next += 1
                        }
                    }
                }
            }
        }
        let size = whole.count / joined.rows
        if rows == joined.rows { return whole }
        if step == 1 { return Array(whole[first * size..<(first + rows) * size]) }
        var picked: [UInt8] = []
        picked.reserveCapacity(rows * size)
        for row in 0..<rows {
            let start = (first + row * step) * size
            picked += whole[start..<start + size]
        }
        return picked
    }
}

extension Checkpoint {
    package func experts(_ spec: ExpertMatrixSpec) throws(FileError) -> ExpertMatrices {
        try ExpertMatrices(spec, of: self)
    }

    /// The biases of all experts, one behind the other.
    package func expertBiases(_ spec: ExpertMatrixSpec) throws(FileError) -> [Float] {
        guard format == .huggingFace, case .rows(let joined, let first, let step) = spec.stored else {
            return try tensor(spec.name.huggingFace + ".bias").floats()
        }
        let whole = try tensor(joined.biasName).floats()
        var biases: [Float] = []
        for expert in 0..<spec.count {
            for row in 0..<spec.outFeatures {
                biases.append(whole[expert * joined.rows + first + row * step])
            }
        }
        return biases
    }
}

/// GGUF's blocks of 17 bytes from 16 bytes of numbers, two side by side in each, and a byte of scale.
private func ggufMXFP4(blocks: [UInt8], scales: [UInt8]) -> [UInt8] {
    [UInt8](unsafeUninitializedCapacity: scales.count * 17) { target, count in
        count = scales.count * 17
        for (block, scale) in scales.enumerated() {
            target.initializeElement(at: block * 17, to: scale)
            for j in 0..<8 {
                // Bytes j and j + 8 hold numbers 2j, 2j + 1 and 2j + 16, 2j + 17.
                let (low, high) = (blocks[block * 16 + j], blocks[block * 16 + j + 8])
                target.initializeElement(at: block * 17 + 1 + 2 * j, to: low & 15 | high << 4)
                target.initializeElement(at: block * 17 + 2 + 2 * j, to: low >> 4 | high & 0xF0)
            }
        }
    }
}
