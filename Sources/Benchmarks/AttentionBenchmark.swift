// Time of attention and its backward by family and by how the tokens fall into sequences.

import ArgumentParser
import Kernels
import VulkanCompute

struct AttentionBenchmark: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "attention", abstract: "Time attention, forward, backward and for one new token.")

    @Option(help: "Query heads.") var heads = 9
    @Option(help: "Key/value heads.") var kvHeads = 3
    @Option(help: "Head size.") var headSize = 64
    @Option(help: "Tokens in all.") var tokens = 512
    @Option(help: "Length of the sequences they make.") var lengths: [Int] = [128, 512]
    @Option(help: "Runs of which the fastest counts.") var rounds = 13
    @Option(help: "Device, by number or name.") var device: String?
    @Flag(help: "Also the families that are not this device's choice.") var allFamilies = false

    private var shape: AttentionShape {
        AttentionShape(heads: heads, kvHeads: kvHeads, headSize: headSize)
    }

    func run() throws {
        let device = try Device.open(device)
        print("\(device.capabilities.name): \(heads) heads over \(kvHeads) of \(headSize), \(tokens) tokens")
        let families = Shader.Family.allCases.filter {
            device.capabilities.supports($0) && (allFamilies || $0 == device.capabilities.family)
        }
        for family in families {
            for length in lengths { try trainingStep(device, family, length: length) }
            try newToken(device, family)
        }
    }

    private func trainingStep(_ device: Device, _ family: Shader.Family, length: Int) throws {
        let tensors = try Tensors(self, device, queries: tokens)
        let spans = (0..<tokens).flatMap { token in
            let start = token / length * length
            return [Int32(start), Int32(min(start + length, tokens))]
        }
        try device.upload(spans, into: tensors.spans.slice)
        // Pairs that the mask leaves, each a multiply and an add per feature.
        let pairs = (0..<tokens).reduce(0) { $0 + $1 % length + 1 }
        let product = 2 * Double(pairs * heads * headSize)
        try time(device, family, "forward, sequences of \(length)", flops: 2 * product) {
            encoder throws(VulkanError) in
            try encoder.attention(
                into: tensors.out, lse: tensors.lse, q: tensors.q, k: tensors.k, v: tensors.v,
                spans: tensors.spans, shape: shape)
        }
        try time(device, family, "backward, sequences of \(length)", flops: 5 * product) {
            encoder throws(VulkanError) in
            try encoder.attentionBackward(
                intoQ: tensors.dq, k: tensors.dk, v: tensors.dv, delta: tensors.delta, tensors.q,
                out: tensors.out, lse: tensors.lse, q: tensors.q, k: tensors.k, v: tensors.v,
                spans: tensors.spans, shape: shape)
        }
        let table = try device.makeTensor(
            RotaryAngles(headSize: headSize, base: 10000).table(positions: tokens), [tokens, headSize])
        let positions = try device.makeTensor((0..<tokens).map { Int32($0 % length) }, [tokens])
        try time(device, family, "rotary of q, sequences of \(length)", flops: Double(tensors.q.count) * 3) {
            encoder throws(VulkanError) in
            try encoder.rotary(into: tensors.dq, tensors.q, positions: positions, table: table)
        }
    }

    private func newToken(_ device: Device, _ family: Shader.Family) throws {
        let tensors = try Tensors(self, device, queries: 1)
        try device.upload([Int32](repeating: 0, count: 2), into: tensors.spans.slice)
        let offset = try device.makeTensor([Int32(tokens - 1)], [1])
        let flops = 4 * Double(tokens * heads * headSize)
        try time(device, family, "one token behind \(tokens - 1)", flops: flops) {
            encoder throws(VulkanError) in
            try encoder.attention(
                into: tensors.out, lse: tensors.lse, q: tensors.q, k: tensors.k, v: tensors.v,
                spans: tensors.spans, shape: shape, keyOffset: offset)
        }
    }

    private func time(
        _ device: Device, _ family: Shader.Family, _ what: String, flops: Double,
        _ body: (CommandEncoder) throws(VulkanError) -> Void
    ) throws {
        let repeats = 4
        let encoder = try CommandEncoder(device)
        encoder.family = family
        for _ in 0..<repeats { try body(encoder) }
        let graph = try encoder.finish()
        let first = try ContinuousClock().measure { try graph.run() }
        let best = try (0..<max(rounds, 1)).map { _ in try ContinuousClock().measure { try graph.run() } }
            .min()
        let seconds = (best ?? first) / .seconds(1) / Double(repeats)
        let rate = (flops / seconds / 1e8).rounded() / 10
        let micros = Int((seconds * 1e6).rounded())
        print(
            "\(family)  \(what): \(micros) µs, \(rate) GFLOP/s, first run \(Int(first / .milliseconds(1))) ms"
        )
    }
}

private struct Tensors {
    let q, k, v, out, lse, delta, dq, dk, dv, spans: Tensor

    init(_ size: AttentionBenchmark, _ device: Device, queries: Int) throws {
        func random(_ rows: Int, _ width: Int) throws -> Tensor {
            try device.makeTensor((0..<rows * width).map { _ in Float.random(in: -1...1) }, [rows, width])
        }
        let (wide, narrow) = (size.heads * size.headSize, size.kvHeads * size.headSize)
        q = try random(queries, wide)
        k = try random(size.tokens, narrow)
        v = try random(size.tokens, narrow)
        (out, dq) = (try random(queries, wide), try random(queries, wide))
        (dk, dv) = (try random(size.tokens, narrow), try random(size.tokens, narrow))
        (lse, delta) = (try random(queries, size.heads), try random(queries, size.heads))
        spans = try device.makeTensor([queries, 2], dtype: .i32, label: "spans")
    }
}
