// Loads a mixture of experts: its router, the weights of all experts one behind the other, and their biases.

import Checkpoints
import Kernels
import VulkanCompute

extension WeightLoader {
    mutating func mixture(_ spec: ExpertsSpec, layer: Int) throws -> ExpertsMixer {
        let scores: ExpertRouting.Scores =
            switch spec.scores {
            case .softmax(let ofChosen): .softmax(ofChosen: ofChosen)
            case .sigmoid(let isNormalised, let scale):
                .sigmoid(isNormalised: isNormalised, scale: Float(scale))
            }
        let bias = try spec.bias.map { try vector($0.huggingFace) }
        let router = try weight(spec.router)
        return ExpertsMixer(
            routing: ExpertRouting(experts: spec.count, used: spec.used, scores, bias: bias),
            router: router, gate: try experts(spec.gate), up: try experts(spec.up),
            down: try experts(spec.down), biases: spec.hasBiases ? try biases(spec, router.layout.rows) : nil,
            function: Shader.Activation(spec.function),
            width: spec.gate.inFeatures, hidden: spec.gate.outFeatures, label: "block \(layer) experts")
    }

    /// `rows` of the router's weight, some of which may be none of an expert's.
    private mutating func biases(_ spec: ExpertsSpec, _ rows: Int) throws -> ExpertsMixer.Biases {
        func make(_ values: [Float], _ shape: [Int], _ name: TensorName) throws -> Tensor {
            try device.makeTensor(values, shape, label: "\(name.huggingFace).bias")
        }
        func biases(_ matrix: ExpertMatrixSpec) throws -> Tensor {
            let values = try checkpoint.expertBiases(matrix)
            try requireFinite(values, checkpoint.experts(matrix).tensor(of: 0))
            return try make(values, [matrix.count, matrix.outFeatures], matrix.name)
        }
        let stored = try checkpoint.tensor(spec.router.huggingFace + ".bias")
        let values = try stored.vector()
        try requireFinite(values, stored)
        let router = values + [Float](repeating: 0, count: rows - spec.count)
        let all = ExpertsMixer.Biases(
            router: try make(router, [rows], spec.router), gate: try biases(spec.gate),
            up: try biases(spec.up), down: try biases(spec.down))
        byteCount += [all.router, all.gate, all.up, all.down].reduce(0) { $0 + $1.byteCount }
        return all
    }

    /// The weights of all experts one behind the other.
    private mutating func experts(_ spec: ExpertMatrixSpec) throws -> ExpertWeights {
        let stored = try checkpoint.experts(spec)
        let types = Set(
            (0..<spec.count).map { expert in
                chosenType(stored.type(of: expert), columns: spec.inFeatures, isOfExperts: true)
            })
        let type = types.count == 1 ? types.first ?? .f16 : types.contains(.f32) ? .f32 : .f16
        let layout = WeightLayout(type, rows: spec.count * spec.outFeatures, columns: spec.inFeatures)
        let spans = layout.expertSpans(spec.count, .shared, device.capabilities)
        guard spans != nil else {
            throw FileError(
                checkpoint.path,
                "an expert of '\(spec.name.huggingFace)' has \(layout.byteCount / spec.count) bytes, more than a kernel of this "
                    + "device can be given", remedy: "use a file with fewer bits a weight, or another device")
        }
        let whole = try device.makeWeight(layout, label: spec.name.huggingFace)
        for expert in 0..<spec.count {
            let rows = expert * spec.outFeatures..<(expert + 1) * spec.outFeatures
            try fill(whole.rows(rows), stored, expert)
        }
        return ExpertWeights(whole, experts: spec.count)
    }

    private mutating func fill(_ weight: Weight, _ stored: ExpertMatrices, _ expert: Int) throws {
        byteCount += weight.layout.byteCount
        if device.isPlanning { return }
        let (type, bytes) = (stored.type(of: expert), try stored.bytes(of: expert))
        func floats() throws -> [Float] {
            let values = [Float](
                unsafeUninitializedCapacity: stored.spec.outFeatures * stored.spec.inFeatures
            ) {
                target, count in
                count = target.count
                bytes.withUnsafeBytes { type.decode($0, into: target) }
            }
            guard let bad = values.first(where: { !$0.isFinite }) else { return values }
            let tensor = stored.tensor(of: expert)
            throw FileError(
                tensor.path, "tensor '\(tensor.name)' holds \(bad) in expert \(expert)", tensor: tensor.name,
                remedy: "the file is damaged or the model diverged when it was made: use another copy")
        }
        let widens = weight.layout.type == .q8_0 && type == .q5_0
        if widens || weight.layout.type.rawValue == type.name.lowercased() {
            try bytes.withUnsafeBytes { bytes in
                if type.firstRowNotFinite(bytes, rows: stored.spec.outFeatures) != nil { _ = try floats() }
                guard widens else { return try device.upload(bytes, into: weight) }
                try widenedToQ8_0(bytes).withUnsafeBytes { try device.upload($0, into: weight) }
            }
        } else {
            try upload(try floats(), as: weight.layout.type, into: weight)
        }
        countLoaded()
    }
}
