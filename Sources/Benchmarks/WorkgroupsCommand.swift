// How many workgroups a GPU gets of each kernel: of a training step and of a generated token, asked of the launchers themselves on a device
// that only plans. scripts/check-gpu-compilers keeps the numbers on record.

import ArgumentParser
import Checkpoints
import LoRAVK
import VulkanCompute

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

struct WorkgroupsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "workgroups",
        abstract: "Count the workgroups of every kernel on a large GPU, without one.")

    @Argument(help: "A folder for the model's file, which is written, read and deleted.") var folder: String
    @Option(help: "The model's shape.") var size = RandomModelCommand.Size.qwen
    @Option(help: "Tokens of a training step, all of which count.") var tokens = 512
    @Option(help: "Keys that a generated token sees.") var keys = 4096
    @Option(help: "LoRA rank, on all linear layers.") var rank = 16
    @Flag(help: "Share out no sum over workgroups.") var wholeSums = false

    func run() throws {
        guard case .integer(let blocks)? = size.config["num_hidden_layers"] else { return }
        let plans = try [1, 2].map { try plan(blocks: $0) }
        var works = JSON.Object()
        for (name, launches) in [
            ("a step of 1x\(tokens)", \Plans.step), ("a token behind \(keys)", \Plans.token),
        ] {
            // Blocks are alike: what the second added comes once more for each of the others.
            var sums = Sums(plans[0][keyPath: launches])
            sums.add(Sums(plans[1][keyPath: launches]), times: Double(blocks - 1))
            sums.add(Sums(plans[0][keyPath: launches]), times: -Double(blocks - 1))
            works[name] = sums.json
        }
        print(JSON.object(works).text(.compact))
    }

    private struct Plans {
        let step: [Launch]
        let token: [Launch]
    }

    private func plan(blocks: Int) throws -> Plans {
        var config = size.config
        config["num_hidden_layers"] = .integer(blocks)
        let path = "\(folder)/workgroups.gguf"
        try RandomModel(config: config).writeGGUF(to: path) { _, _ in .q4_0 }
        defer { unlink(path) }
        var gpu = Capabilities.largeGPU
        if wholeSums { gpu.fillingWorkgroups = 1 }
        let model = try Transformer.load(path, device: Device(planning: gpu))
        var lora = LoRAConfig()
        lora.rank = rank
        let adapter = try Adapter.create(for: model, lora)
        let shape = BatchShape(tokens: tokens, counted: tokens)
        return Plans(
            step: try Trainer(model, adapter).plan(shape).launches,
            token: try Generator(model, adapter, capacity: keys).planStep().launches)
    }
}

/// Launches by kernel and number of workgroups.
private struct Sums {
    private struct Key: Hashable {
        let kernel: String
        let groups: Int
    }
    private var sums: [Key: (launches: Double, seconds: Double)] = [:]

    init(_ launches: [Launch]) {
        for launch in launches {
            // The roofs of a Radeon RX 7900 XTX.
            let seconds = max(launch.flops / 30e12, launch.bytes / 0.96e12)
            add(Key(kernel: launch.pipeline.shader.name, groups: launch.groups), 1, seconds)
        }
    }

    private mutating func add(_ key: Key, _ launches: Double, _ seconds: Double) {
        let old = sums[key] ?? (0, 0)
        sums[key] = (old.launches + launches, old.seconds + seconds)
    }

    mutating func add(_ other: Sums, times: Double) {
        for (key, sum) in other.sums { add(key, sum.launches * times, sum.seconds * times) }
    }

    /// By kernel: the fewest workgroups of a launch, launches, the kernel's share of the time that the roofs allow, and how much of that is
    /// in launches that fill no GPU.
    var json: JSON {
        let whole = sums.values.reduce(0) { $0 + $1.seconds }
        let filling = Capabilities.largeGPU.fillingWorkgroups
        var kernels = JSON.Object()
        for (name, parts) in Dictionary(grouping: sums, by: \.key.kernel).sorted(by: { $0.key < $1.key }) {
            func share(_ isCounted: (Int) -> Bool) -> JSON {
                let seconds = parts.filter { isCounted($0.key.groups) }.reduce(0) { $0 + $1.value.seconds }
                return .double((seconds / whole * 1e4).rounded() / 1e4)
            }
            let launches = parts.reduce(0) { $0 + $1.value.launches }
            kernels[name] = .object([
                "workgroups": .integer(parts.map(\.key.groups).min() ?? 0),
                "launches": .integer(Int(launches)), "share": share { _ in true },
                "few": share { $0 < filling },
            ])
        }
        return .object(kernels)
    }
}

extension Capabilities {
    /// What launchers ask of a device, as large GPUs answer.
    fileprivate static var largeGPU: Capabilities {
        var gpu = Capabilities.least
        (gpu.type, gpu.subgroupSize) = (.discrete, 64)
        (gpu.maxStorageBufferRange, gpu.maxAllocation) = ((4 << 30) - 4, 2 << 30)
        (gpu.maxWorkgroupInvocations, gpu.maxWorkgroupSize, gpu.maxSharedMemory) = (1024, 1024, 64 << 10)
        (gpu.maxStorageBuffers, gpu.maxTexelBuffers, gpu.maxBindings) = (1 << 20, 1 << 20, 1 << 20)
        return gpu
    }
}
