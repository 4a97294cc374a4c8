// Rates of the matrix products by transpose, shape, family and weight type, beside the device's peak of multiplies and
// adds and, if wished, beside kernels that are not ours.

import ArgumentParser
import Kernels
import VulkanCompute

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

struct MatmulBenchmark: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "matmul",
        abstract: "Time matrix products: x·Wᵀ (NT), dy·W (NN), dyᵀ·x (TN), and a LoRA adapter's.",
        discussion: """
            Rows of a group are run in turn; ratios are to the first of the group, which is the prototype if one is given. \
            A prototype is SPIR-V with a 32 × 64 tile and 8 invocations a workgroup, the output as storage buffer 2, the \
            inputs as rgba32f texel buffers 5 and 6, and push constants M, N, K, 0.
            """)

    @Option(help: "Rows (tokens).") var tokens = 256
    @Option(parsing: .upToNextOption, help: "N×K of a product with M = tokens.")
    var shapes = ["576x576", "1536x576", "576x1536"]
    @Option(parsing: .upToNextOption, help: "Weight types of NT and NN.")
    var types = ["f32", "f16", "bf16", "q8_0", "q4_0", "q4_1"]
    @Option(help: "Rank of the adapter.") var rank = 8
    @Option(help: "Runs of which the fastest counts.") var rounds = 13
    @Option(help: "Device, by number or name.") var device: String?
    @Option(help: "NT=FILE.spv, NN=FILE.spv or TN=FILE.spv: a kernel to compare with.") var prototype:
        [String] = []
    @Flag(help: "Also the families that are not this device's choice.") var allFamilies = false

    func run() throws {
        let device = try Device.open(device)
        let types = try types.map { name in
            guard let type = Shader.Weight(rawValue: name) else {
                throw ValidationError("'\(name)' is no weight type")
            }
            return type
        }
        print("\(device.capabilities.name): \(tokens) tokens, best of \(rounds)")
        let peak = try Contestant.peak(device)
        for shape in shapes {
            let sides = shape.split(separator: "x").compactMap { Int($0) }
            guard sides.count == 2, sides.allSatisfy({ $0 > 0 && $0 % 32 == 0 }) else {
                throw ValidationError("'\(shape)' is not N×K of multiples of 32")
            }
            let bench = Bench(device: device, m: tokens, n: sides[0], k: sides[1])
            for op in [Shader.Op.nt, .nn, .tn] {
                var all = try prototypes(op, bench)
                let host: [Shader.Family?] = device.capabilities.usesHostProducts ? [nil] : []
                for family in families(device).map(Optional.some) + host {
                    for type in op == .tn ? [.f32] : types where bench.holds(op, type) {
                        all.append(try bench.ours(op, family, type))
                    }
                }
                all.append(peak)
                try report("\(op) M \(tokens) N \(sides[0]) K \(sides[1])", all, device)
            }
            var adapter: [Contestant] = []
            for family in families(device) { adapter += try bench.adapter(family, rank: rank) }
            try report("adapter of rank \(rank) on a (\(sides[0]), \(sides[1])) layer", adapter, device)
        }
    }

    private func report(_ title: String, _ all: [Contestant], _ device: Device) throws {
        let times = try contest(all, rounds: max(rounds, 1))
        printContest(title, all, times, isCPU: device.capabilities.type == .cpu)
    }

    private func families(_ device: Device) -> [Shader.Family] {
        Shader.Family.allCases.filter {
            device.capabilities.supports($0) && (allFamilies || $0 == device.capabilities.family)
        }
    }

    private func prototypes(_ op: Shader.Op, _ bench: Bench) throws -> [Contestant] {
        try prototype.compactMap { argument in
            let parts = argument.split(separator: "=", maxSplits: 1).map(String.init)
            guard parts.count == 2, let named = Shader.Op(rawValue: parts[0].lowercased()) else {
                throw ValidationError("'\(argument)' is not NT=FILE.spv, NN=FILE.spv or TN=FILE.spv")
            }
            return named == op ? try bench.prototype(op, path: parts[1]) : nil
        }
    }
}

/// The tensors of one shape.
private struct Bench {
    let device: Device
    let m, n, k: Int

    /// Whether a weight of the type can have the width that the operation gives it.
    func holds(_ op: Shader.Op, _ type: Shader.Weight) -> Bool {
        (op == .nt ? k : n) % WeightLayout.columnMultiple(type) == 0
    }

    private var flops: Double { 2 * Double(m) * Double(n) * Double(k) }

    private func random(_ rows: Int, _ columns: Int) throws -> Tensor {
        try device.makeTensor((0..<rows * columns).map { _ in Float.random(in: -1...1) }, [rows, columns])
    }

    private func operands(_ op: Shader.Op) throws -> (x: Tensor, w: Tensor) {
        (try op == .tn ? random(k, m) : random(m, k), try op == .nt ? random(n, k) : random(k, n))
    }

    /// nil: by the host.
    func ours(_ op: Shader.Op, _ family: Shader.Family?, _ type: Shader.Weight) throws -> Contestant {
        let y = try device.makeTensor([m, n], label: "y")
        let name = "\(family?.rawValue ?? Capabilities.hostProducts) \(type)"
        if op == .tn {
            let (x, w) = try operands(op)
            return try Contestant(name, on: device, family: family, flops: flops) {
                encoder throws(VulkanError) in
                try encoder.matmul(.tn, into: y, x, w)
            }
        }
        let (rows, columns) = op == .nt ? (n, k) : (k, n)
        let layout = WeightLayout(type, rows: rows, columns: columns)
        let weight = try device.makeWeight(layout, label: "weight")
        // What the bits mean does not matter for the time, as long as no number is a NaN or denormal.
        let bytes = [UInt8](repeating: 0x33, count: layout.sourceRows * layout.sourceRowByteCount)
        try bytes.withUnsafeBytes { try device.upload($0, into: weight) }
        let x = try random(m, k)
        return try Contestant(name, on: device, family: family, flops: flops) { encoder throws(VulkanError) in
            if op == .nt {
                try encoder.matmul(into: y, x, weight: weight)
            } else {
                try encoder.matmulBackward(into: y, x, weight: weight)
            }
        }
    }

    /// The four products of an adapter on a layer of n outputs and k inputs.
    func adapter(_ family: Shader.Family, rank: Int) throws -> [Contestant] {
        let (x, dy) = (try random(m, k), try random(m, n))
        let (a, b) = (try random(rank, k), try random(n, rank))
        let (h, g) = (try random(m, rank), try random(m, rank))
        func contestant(
            _ name: String, _ width: Int, _ body: (CommandEncoder) throws(VulkanError) -> Void
        ) throws -> Contestant {
            let flops = 2 * Double(m) * Double(rank) * Double(width)
            return try Contestant("\(family) \(name)", on: device, family: family, flops: flops, body)
        }
        return [
            try contestant("h = s·x·Aᵀ", k) { encoder throws(VulkanError) in
                try encoder.loraDown(into: h, x, loraA: a, scaling: 2)
            },
            try contestant("g = s·dy·B", n) { encoder throws(VulkanError) in
                try encoder.loraDownBackward(into: g, dy, loraB: b, scaling: 2)
            },
            try contestant("dA += gᵀ·x", k) { encoder throws(VulkanError) in
                try encoder.loraGradientA(addingTo: a, g: g, x: x)
            },
            try contestant("dB += dyᵀ·h", n) { encoder throws(VulkanError) in
                try encoder.loraGradientB(addingTo: b, dy: dy, h: h)
            },
        ]
    }

    func prototype(_ op: Shader.Op, path: String) throws -> Contestant {
        let code = [UInt8](try Data(contentsOf: URL(filePath: path)))
        let unused = Shader.Binding(name: "unused", spirvImageFormat: nil, readable: true, writable: false)
        let output = Shader.Binding(name: "output", spirvImageFormat: nil, readable: false, writable: true)
        let input = Shader.Binding(name: "input", spirvImageFormat: 1, readable: true, writable: false)
        let bindings = [unused, unused, output, unused, unused, input, input]
        let shader = Shader(name: path, bindings: bindings, pushByteCount: 16, spirv: code)
        let (x, w) = try operands(op)
        let y = try device.makeTensor([m, n], label: "y")
        guard m % 32 == 0, n % 64 == 0 else {
            throw ValidationError("a prototype needs M % 32 = 0 and N % 64 = 0")
        }
        return try Contestant("prototype", on: device, flops: flops) { encoder throws(VulkanError) in
            try encoder.dispatchForeign(
                shader, [x.slice, x.slice, y.slice, x.slice, x.slice, x.slice, w.slice],
                push: [UInt32(m), UInt32(n), UInt32(k), 0], columns: n / 64, rows: m / 32, flops: flops,
                label: "prototype")
        }
    }
}

extension Contestant {
    /// The most multiplies and adds a second that the device was seen to do.
    static func peakRate(_ device: Device) throws -> Double {
        let contestant = try peak(device)
        let times = try contest([contestant], rounds: 9)
        return contestant.flops / (times[0].clock.min() ?? .infinity)
    }

    static func peak(_ device: Device) throws -> Contestant {
        let (lanes, groups, rounds) = (device.capabilities.lanes(.subgroup), 256, 100)
        let y = try device.makeTensor([groups * lanes, 4], label: "y")
        let flops = Double(groups * lanes * rounds) * 64 * 3 * 4 * 2
        return try Contestant("peak of multiplies and adds", on: device, flops: flops) {
            encoder throws(VulkanError) in
            try encoder.dispatch(
                Shader.peak(), [y.slice], push: [rounds, Float(0.5), Float(1)],
                specialization: ["LANES": UInt32(lanes)],
                groups: groups, flops: flops, label: "peak")
        }
    }
}
