// a[n] = c[n]·conv(b·x)[n], a short causal convolution of each channel over the tokens of a sequence. Products: b, c and x (N, C).

import Kernels
import VulkanCompute

struct ShortConvMixer: Mixer {
    let convolution: ShortConvolution

    var width: Int { convolution.width }

    func forward(
        into a: Tensor, _ products: [Tensor], _ state: LayerState?, _ pass: Pass
    ) throws(VulkanError) -> [Tensor] {
        let (encoder, batch) = (pass.encoder, pass.batch)
        let (b, c, x) = (products[0], products[1], products[2])
        var past: Tensor?
        if case .past(let tensor) = state { past = tensor }
        try encoder.shortConvolution(
            convolution, into: a, b: b, c: c, x: x, spans: batch.spans(window: nil), offset: batch.keyOffset,
            past: past)
        if let past { try encoder.keepPast(of: convolution, into: past, b: b, x: x, offset: batch.keyOffset) }
        return []
    }

    func backward(
        _ da: Tensor, output _: Tensor?, _ products: [Tensor], _: [Tensor], _ pass: Pass
    ) throws(VulkanError) -> [Tensor] {
        let gradients = products.map { pass.arena.take($0.rows, $0.width) }
        try pass.encoder.shortConvolutionBackward(
            convolution, intoB: gradients[0], c: gradients[1], x: gradients[2], da, b: products[0],
            c: products[1], x: products[2], spans: pass.batch.spans(window: nil))
        for product in products { pass.arena.give(product) }
        return gradients
    }

    func makeState(capacity _: Int, _ device: Device, label: String) throws(VulkanError) -> LayerState? {
        .past(try device.makeTensor([convolution.taps, width], label: "past of \(label)"))
    }
}
