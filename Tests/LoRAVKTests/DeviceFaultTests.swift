// Every Vulkan call of a short training run fails in turn: an error in words, nothing leaked, nothing half-written, no crash.

import Checkpoints
import Kernels
import LoRAVK
import TestSupport
import Testing
import VulkanCompute

@Suite struct DeviceFaultTests {
    private let data = Dataset(examples: examples([9, 5]))

    /// A model from its files, a new adapter, two steps, an evaluation and a few tokens.
    private func run(
        _ device: Device, modelFolder: String, out: String, onWarning: (String) -> Void = { _ in }
    ) throws {
        let model = try Transformer.load(modelFolder, device: device)
        let trainer = try Trainer(model, try Adapter.create(for: model, LoRAConfig()))
        var config = RunConfig()
        config.batchSize = 2
        config.steps = 2
        config.saveEvery = 1
        config.schedule = Schedule(.constant, learningRate: 1e-3, steps: 2)
        let run = try TrainingRun(trainer, data: data, config: config, folder: out, overwrites: true)
        #expect(try run.run(onWarning: onWarning) == .finished)
        _ = try Evaluator(model, trainer.adapter).evaluate(data.examples)
        try Generator(model, trainer.adapter, capacity: 8).generate(
            prompt: [1, 2, 3], maxTokens: 2, stopTokens: [], sampling: SamplerConfig())
    }

    @Test(
        arguments: [
            (VulkanFaults.Fault.outOfDeviceMemory, false), (.outOfHostMemory, true), (.deviceLost, false),
            (.deviceLost, true),
        ])
    func everyCallMayFail(_ fault: VulkanFaults.Fault, staged: Bool) throws {
        var options = DebugOptions.environment
        options.staged = staged
        func open() throws -> Device { try Device.open(instance: Instance(options: options)) }
        try withTemporaryFolder { folder in
            try TinyModel(layers: 1).write(to: folder)
            // What is compiled and cached once is not there in later runs.
            try run(open(), modelFolder: folder, out: folder + "/first")
            let counter = VulkanFaults(failing: .max)
            let device = try open()
            let before = device.heldByteCount
            try VulkanFaults.$active.withValue(counter) {
                try run(device, modelFolder: folder, out: folder + "/out")
            }
            #expect(counter.counted > 300 && device.heldByteCount == before)

            // A prime distance, so that all kinds of calls are hit.
            for nth in stride(from: 1, through: counter.counted, by: 19) {
                let device = try open()
                // A save in the middle of a run that fails is a warning.
                var warnings: [String] = []
                let error = VulkanFaults.$active.withValue(VulkanFaults(failing: nth, fault)) {
                    errorText {
                        try run(device, modelFolder: folder, out: folder + "/out") { warnings.append($0) }
                    }
                }
                let text = error ?? (warnings.isEmpty ? nil : warnings.joined(separator: "; "))
                let reason = fault == .deviceLost ? "the Vulkan device was lost in vk" : "memory"
                // A pipeline cache or a save that fails may cost nothing but time.
                #expect(text?.contains(reason) == true, "call \(nth): \(text ?? "no error")")
                #expect(device.heldByteCount == 0, "call \(nth) leaked")
                let names = try FileSystem.names(in: folder + "/out")
                #expect(!names.contains { $0.hasSuffix(".partial") })
                let isSaved = names.contains(AdapterFiles.configName)
                #expect(isSaved == names.contains(AdapterFiles.weightsName), "call \(nth)")
                if isSaved { _ = try AdapterFiles(folder + "/out") }
                #expect(device.instance.validationMessages.isEmpty, "call \(nth)")
            }
        }
    }

    @Test(arguments: ["vkQueueSubmit", "vkWaitForFences"])
    func aLostDeviceStaysLost(_ call: String) throws {
        let device = try Device.open()
        let x = try device.makeTensor([Float](repeating: 1, count: 256), [256])
        func add() throws {
            try device.run { encoder throws(VulkanError) in
                try encoder.add(into: x, x, x, label: "the addition")
            }
        }
        let lost = #expect(throws: VulkanError.self) {
            try VulkanFaults.$active.withValue(VulkanFaults(call, failing: 1, .deviceLost)) { try add() }
        }
        #expect(lost?.kind == .deviceLost && lost?.description.contains("lost in \(call)") == true)
        if call == "vkWaitForFences" { #expect(lost?.description.contains("the addition") == true) }
        // Without any more faults, all that needs the device says the same, and the rest can be released.
        for _ in 0..<2 {
            let again = #expect(throws: VulkanError.self) { try add() }
            #expect(again?.description == lost?.description)
        }
        #expect(throws: VulkanError.self) { try device.makeBuffer(byteCount: 64, label: "more") }
        let fresh = try Device.open()
        let y = try fresh.makeTensor([Float](repeating: 1, count: 256), [256])
        try fresh.run { encoder throws(VulkanError) in try encoder.add(into: y, y, y) }
        #expect(try fresh.values(y) == [Float](repeating: 2, count: 256))
    }

    @Test func memoryThatIsFullIsAnErrorWithTheBytesAndARemedy() throws {
        let device = try Device.open()
        let held = device.heldByteCount
        let error = #expect(throws: VulkanError.self) {
            try VulkanFaults.$active.withValue(VulkanFaults("vkAllocateMemory", failing: 1)) {
                try device.makeBuffer(byteCount: 100 << 20, label: "activations")
            }
        }
        #expect(error?.kind == .outOfMemory && device.heldByteCount == held)
        let text = error?.description ?? ""
        #expect(
            text.contains("activations") && text.contains("\(100 << 20)") && text.contains("a smaller batch"))
        #expect(try device.makeBuffer(byteCount: 100 << 20, label: "activations").byteCount == 100 << 20)
    }
}
