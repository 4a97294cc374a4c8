// The device that tests run on, opened once a process with validation when LORAVK_VALIDATION is set.

import Kernels
import Synchronization
import VulkanCompute

package enum TestDevices {
    private static let opened = Result { () throws(VulkanError) in try Device.open() }
    private static let openedSmall = Result { () throws(VulkanError) in
        var options = DebugOptions.environment
        options.smallLimits = true
        return try Device.open(instance: Instance(options: options))
    }

    /// LORAVK_DEVICE or the best device of the machine.
    package static var main: Device { get throws { try opened.get() } }
    /// The same device pretending to have tiny limits, so that every splitting path runs.
    package static var smallLimits: Device { get throws { try openedSmall.get() } }
}

extension Device {
    /// Families that this device can run.
    package var families: [Shader.Family] { Shader.Family.allCases.filter(capabilities.supports) }
}

extension TestDevices {
    /// The same device with each family of kernels but its own, and with every product by the host.
    package static var families: [Device] {
        get throws {
            let capabilities = try main.capabilities
            let others = [capabilities.family.rawValue, Capabilities.matrixUnits]
            return try capabilities.familyNames.filter { !others.contains($0) }.map { try device(of: $0) }
        }
    }

    private static let byFamily = Mutex<[String: Device]>([:])

    private static func device(of family: String) throws -> Device {
        try byFamily.withLock { known in
            if let device = known[family] { return device }
            let device = try Device.choose().open(family: family)
            known[family] = device
            return device
        }
    }
}
