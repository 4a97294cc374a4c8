// A method that is in no paper: only a part of the update counts. What a new method needs is this file and a line.

import Checkpoints
import Kernels
import LoRAVK
import VulkanCompute

struct MadeUpMethod: AdapterMethod {
    let name = "half-lora"
    let savesItself = false
    let summary = "LoRA of which only a part counts"
    var options = [MethodOption("part", 0.5, in: 0...1, "how much of the update counts")]

    private func term(_ layer: LoRALayer) -> LowRankTerm {
        var term = LowRankTerm(layer)
        term.scaling *= Float(options[0].value)
        return term
    }

    func forward(
        _ y: Destination, _ x: Tensor, _ layer: LoRALayer, around base: Linear, _ pass: Pass
    ) throws(VulkanError) -> Tensor {
        try base.forward(y, x, lowRank: term(layer), pass)
    }

    func kept(
        of x: Tensor, _ layer: LoRALayer, around base: Linear, _ pass: Pass
    ) throws(VulkanError) -> Tensor {
        try base.down(x, term(layer), pass)
    }

    func backward(
        _ dx: GradientDestination, _ dy: Tensor, x: Tensor, kept: Tensor, _ layer: LoRALayer,
        around base: Linear, _ pass: Pass
    ) throws(VulkanError) {
        try base.backward(dx, dy, x: x, h: kept, lowRank: term(layer), pass)
    }

    func saved(_ layer: LoRALayer, of adapter: Adapter) throws -> [TensorSource] {
        let part = Float(options[0].value)
        return [
            TensorSource(
                AdapterFiles.key(layer.name, .loraA), shape: [layer.rank, layer.inFeatures],
                try adapter.values(layer, .loraA).map { $0 * part }),
            TensorSource(
                AdapterFiles.key(layer.name, .loraB), shape: [layer.outFeatures, layer.rank],
                try adapter.values(layer, .loraB)),
        ]
    }
}
