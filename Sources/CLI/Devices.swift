import ArgumentParser
import Kernels
import VulkanCompute

struct Devices: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "List the Vulkan devices, best first.")

    func run() throws {
        for (index, candidate) in try Device.all().enumerated() {
            let device = candidate.capabilities
            Terminal.print("\(index): \(device.name) (\(device.type))")
            Terminal.print(
                "   driver     \(device.driver), Vulkan \(device.apiVersion.major).\(device.apiVersion.minor)"
            )
            Terminal.print(
                "   subgroup   \(device.subgroupSize); kernels: \(device.family.rawValue)"
                    + (device.usesHostProducts
                        ? ", large products by the processor (\(hostInstructions))" : ""))
            if let units = device.cooperativeMatrix {
                let use =
                    device.usesMatrixUnits
                    ? "in use" : device.canUseMatrixUnits ? "`lora-vk tune` tries them" : "not of use here"
                Terminal.print(
                    "   matrices   \(units.m) x \(units.n) x \(units.k) of f16 with f32 sums; \(use)")
            }
            Terminal.print(
                "   limits     \(Terminal.bytes(device.maxStorageBufferRange)) a binding, "
                    + "\(Terminal.bytes(device.maxAllocation)) an allocation, "
                    + "\(Terminal.bytes(device.maxSharedMemory)) shared memory")
        }
    }
}
