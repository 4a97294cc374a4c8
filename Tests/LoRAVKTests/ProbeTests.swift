// `lora-vk doctor`'s probe: every family of kernels passes it, and a wrong result does not.

import Checkpoints
import Foundation
import Kernels
import LoRAVK
import TestSupport
import Testing
import VulkanCompute

@Suite struct ProbeTests {
    @Test func everyFamilyIsRight() throws {
        let probe = try Probe(in: FileManager.default.temporaryDirectory.path)
        let candidate = try Device.choose(instance: TestDevices.main.instance)
        let families = Probe.families(candidate.capabilities)
        #expect(families.first == candidate.capabilities.familyName && families.contains("shared"))
        for family in families {
            let device = try candidate.open(family: family)
            #expect(device.capabilities.familyName == family)
            let finding = probe.run(family, on: device)
            #expect(finding.isRight, "\(finding)")
            // Not by a wide bound: f32 is better than this.
            if family != Capabilities.matrixUnits {
                #expect(finding.loss < 1e-6 && finding.gradient < 1e-4, "\(finding)")
            }
        }
        #expect(candidate.instance.validationMessages.isEmpty)
    }

    /// Of what a broken kernel gives: no number, another number, nothing.
    @Test func whatIsWrongIsNotRight() {
        for change: (inout Probe.Finding) -> Void in [
            { $0.loss = 0.01 }, { $0.gradient = .nan }, { $0.answer = .infinity }, { $0.step = 0.1 },
            { $0.failure = "the device is lost" },
        ] {
            var finding = Probe.Finding(family: "shared")
            #expect(finding.isRight)
            change(&finding)
            #expect(!finding.isRight)
        }
    }

    /// Gradients that miss a module's are found, and the module is named: the probe runs with a weight that its reference does not have.
    @Test func aWrongModelIsFoundAndNamed() throws {
        let probe = try Probe(in: FileManager.default.temporaryDirectory.path, seedOfDevice: 2)
        let candidate = try Device.choose(instance: TestDevices.main.instance)
        let finding = probe.run("shared", on: try candidate.open(family: "shared"))
        #expect(!finding.isRight && finding.loss > 1e-3 && finding.gradient > 1e-2)
        #expect(finding.modules.contains("model.layers.0.mlp.down_proj"))
    }
}
