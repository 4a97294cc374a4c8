// Two methods that are in no paper. A new method needs one such file and one line that registers it.

import Checkpoints
import Kernels
import LoRAVK
import VulkanCompute

/// A low-rank term: LoRA of which only a part counts.
struct MadeUpMethod: LowRankMethod {
    let name = "half-lora"
    let savesItself = false
    let summary = "LoRA of which only a part counts"
    var options = [NumberOption("part", 0.5, in: 0...1, "how much of the update counts")]

    private var part: Float { Float(options[0].value) }

    func term(_ layer: LoRALayer) -> LowRankTerm {
        var term = LowRankTerm(layer)
        term.scaling *= part
        return term
    }

    func fileTensors(of layer: LoRALayer, in adapter: Adapter) throws -> [TensorSource] {
        [
            TensorSource(
                AdapterFiles.key(layer.name, .loraA), shape: [layer.rank, layer.inFeatures],
                try adapter.values(layer, .loraA).map { $0 * part }),
            TensorSource(
                AdapterFiles.key(layer.name, .loraB), shape: [layer.outFeatures, layer.rank],
                try adapter.values(layer, .loraB)),
        ]
    }
}

/// No low-rank term: y = y₀ ⊙ g, y₀ = x·Wᵀ. dg = Σ over tokens of dy ⊙ y₀.
struct MadeUpGain: AdapterMethod {
    let name = "gain"
    let summary = "one trained factor for each output of W"

    private static let ones = "ones"

    func parameters(of module: AdapterModuleShape) -> [ParameterShape] {
        [ParameterShape(.gain, count: module.outFeatures)]
    }

    func start(
        _ site: InitialSite, _ initialization: LoRAInitialization, using random: inout RandomNumbers
    ) throws -> [Adapter.Part: [Float]] {
        [.gain: [Float](repeating: 1, count: site.outFeatures)]
    }

    func fixedTensors(of module: AdapterModuleShape) -> [String: FixedTensor] {
        [Self.ones: .ones(module.outFeatures)]
    }

    func forward(
        _ y: Destination, _ x: Tensor, _ layer: LoRALayer, around base: Linear, _ pass: Pass
    ) throws(VulkanError) -> Tensor {
        let y0 = try recordSaved(of: x, layer, around: base, pass)
        let gain = gain(layer)
        switch y {
        case .into(let y): try pass.encoder.scaleColumns(into: y, y0, by: gain, label: "y")
        case .addingTo(let y): try pass.encoder.scaleColumns(addingTo: y, y0, by: gain, label: "y")
        case .sum(let y, let plus):
            try pass.encoder.copy(into: y.slice, from: plus.slice)
            try pass.encoder.scaleColumns(addingTo: y, y0, by: gain, label: "y")
        }
        return y0
    }

    func recordSaved(
        of x: Tensor, _ layer: LoRALayer, around base: Linear, _ pass: Pass
    ) throws(VulkanError) -> Tensor {
        let y0 = pass.arena.take(x.rows, layer.outFeatures)
        try base.base(.into(y0), x, nil, pass)
        return y0
    }

    func backward(
        _ dx: GradientDestination, _ dy: Tensor, x: Tensor, saved y0: Tensor, _ layer: LoRALayer,
        around base: Linear, _ pass: Pass
    ) throws(VulkanError) {
        if let gradient = layer[.gain].trainedGradient {
            try pass.encoder.columnDots(
                addingTo: gradient.reshaped([layer.outFeatures]), dy, y0, by: layer.fixed(Self.ones),
                label: "dg")
        }
        let dy0 = pass.arena.take(dy.rows, dy.width)
        try pass.encoder.scaleColumns(into: dy0, dy, by: gain(layer), label: "dy·g")
        try base.baseBackward(dx, dy0, nil, pass)
        pass.arena.give(dy0, y0)
    }

    private func gain(_ layer: LoRALayer) -> Tensor { layer[.gain].value.reshaped([layer.outFeatures]) }
}

extension Adapter.Part {
    fileprivate static let gain = Adapter.Part("gain")
}
