import ArgumentParser
import Checkpoints
import Kernels
import LoRAVK
import VulkanCompute

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

struct Doctor: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Say what a device is, which kernels it takes and why, and whether they compute right.",
        discussion: """
            A small random model, with weights of every type, is trained for a step and asked for answers by each family of kernels that the \
            device can run; losses, gradients and logits are held against f64 on the processor. Needs no model, and takes seconds. \
            Exit code 1 says that the kernels which `train` would take are wrong.
            """)

    @Option(help: "The Vulkan device: its index or a part of its name, as `lora-vk devices` lists them.")
    var device: String?

    @Flag(help: "All devices, not only the one that the other commands take.")
    var all = false

    @Option(help: "Write the same into a file, to be attached to a bug report.")
    var report: String?

    func validate() throws {
        if all, device != nil {
            throw ValidationError("--all is for all devices, --device for one: give one of them")
        }
    }

    func run() throws {
        var notes = Notes()
        defer { notes.finish() }
        notes.add("lora-vk \(version), \(SystemFacts.summary)")
        for setting in SystemFacts.settings { notes.add("set: \(setting)") }
        let candidates = try all ? Device.all() : [Device.choose(device)]
        if candidates.isEmpty { _ = try Device.choose(nil) }
        var isRight = true
        for candidate in candidates {
            notes.add("")
            isRight = try examine(candidate, &notes) && isRight
        }
        if let report {
            try AtomicFile.write(notes.text, to: report)
            Terminal.error("wrote \(report)")
        }
        if !isRight { throw CommandExit(code: 1) }
    }

    /// Whether the kernels that the device takes are right.
    private func examine(_ candidate: Device.Candidate, _ notes: inout Notes) throws -> Bool {
        for line in DeviceFacts(candidate).lines { notes.add(line) }
        let probe = try Probe(in: SystemFacts.temporaryFolder)
        notes.add("")
        notes.add("a random model's loss, gradients, answers and a step, and how far they are from f64:")
        notes.add(row("kernels", "loss", "gradients", "answers", "step", "seconds", ""))
        var findings: [Probe.Finding] = []
        for family in Probe.families(candidate.capabilities) {
            let finding: Probe.Finding
            do {
                let device = try candidate.open(family: family)
                finding = probe.run(family, on: device)
                if device.instance.validationMessages.count > 0 {
                    notes.add("validation: \(device.instance.validationMessages[0])")
                }
            } catch {
                finding = Probe.Finding(family: family, failure: "\(error)")
            }
            findings.append(finding)
            notes.add(line(finding))
        }
        for finding in findings where !finding.modules.isEmpty {
            notes.add("\(finding.family): wrong gradients of \(finding.modules.joined(separator: ", "))")
        }
        if let rate = findings[0].isRight ? try? Tuner.rate(candidate.open()) : nil {
            notes.add("")
            notes.add(
                "a product of 256 x 576 x 1536 in f32 by the built-in rules: \(Terminal.number(rate / 1e9)) GFLOP/s"
            )
        }
        notes.add("")
        notes.add(advice(findings, candidate.capabilities))
        return findings[0].isRight
    }

    private func line(_ finding: Probe.Finding) -> String {
        if let failure = finding.failure { return row(finding.family, "failed: \(failure)") }
        let numbers = [finding.loss, finding.gradient, finding.answer, finding.step]
        let texts = numbers.map { $0.isNaN ? "nan" : Terminal.number($0, digits: 2) }
        return row(
            finding.family, texts[0], texts[1], texts[2], texts[3],
            Terminal.number(finding.seconds, digits: 2),
            finding.isRight ? "right" : "WRONG")
    }

    private func row(_ columns: String...) -> String {
        let text = columns.enumerated().map { index, column in
            index == columns.count - 1
                ? column : column + String(repeating: " ", count: max(1, 13 - column.count))
        }.joined()
        return "   " + text
    }

    private func advice(_ findings: [Probe.Finding], _ capabilities: Capabilities) -> String {
        let (taken, others) = (findings[0], findings.dropFirst())
        if taken.isRight {
            let wrong = others.filter { !$0.isRight }.map(\.family)
            return wrong.isEmpty
                ? "Everything that was tried is right: this device can train."
                : "The kernels that this device takes (\(taken.family)) are right: it can train. "
                    + "It does not take \(wrong.joined(separator: ", ")), which are wrong here; please report that."
        }
        let report = "Please report it, with the file that `lora-vk doctor --report FILE` writes."
        if let other = others.first(where: \.isRight) {
            return
                "The kernels that this device takes (\(taken.family)) are wrong here, and \(other.family) is right: "
                + "set LORAVK_FAMILY=\(other.family) before a command. \(report)"
        }
        return
            "No kernels compute right on this device: update its driver (\(capabilities.driver)), or take another "
            + "device by --device (`lora-vk devices` lists them). \(report)"
    }
}

/// Lines that are printed and kept.
private struct Notes {
    private(set) var text = ""

    mutating func add(_ line: String) {
        Terminal.print(line)
        text += line + "\n"
    }

    func finish() { fflush(nil) }
}

/// What of the machine matters to a report; paths in the user's folder without its name.
enum SystemFacts {
    static var summary: String {
        var system = utsname()
        uname(&system)
        func text<T>(_ field: T) -> String {
            withUnsafeBytes(of: field) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
        }
        let processors = sysconf(Int32(_SC_NPROCESSORS_ONLN))
        let memory = sysconf(Int32(_SC_PHYS_PAGES)) * sysconf(Int32(_SC_PAGESIZE))
        return "\(text(system.sysname)) \(text(system.release)) \(text(system.machine)), "
            + "\(processors) processors, \(Terminal.bytes(memory)) of memory"
    }

    /// Variables that change what drivers and this program do.
    static var settings: [String] {
        var found: [String] = []
        var entry = environ
        while let pointer = entry.pointee {
            let text = String(cString: pointer)
            if ["LORAVK_", "VK_", "MESA_", "RADV_", "ANV_", "LP_", "NVK_", "TU_"].contains(
                where: text.hasPrefix)
            {
                found.append(withoutHome(text))
            }
            entry += 1
        }
        return found.sorted()
    }

    static var temporaryFolder: String { getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp" }

    static func withoutHome(_ text: String) -> String {
        guard let home = getenv("HOME").map({ String(cString: $0) }), home.count > 1 else { return text }
        return ["=", ":"].reduce(text) { text, mark in
            text.split(separator: mark + home + "/", omittingEmptySubsequences: false).joined(
                separator: mark + "~/")
        }
    }
}

/// What a device is, and what is done on it.
private struct DeviceFacts {
    private let candidate: Device.Candidate
    private let device: Capabilities

    init(_ candidate: Device.Candidate) { (self.candidate, device) = (candidate, candidate.capabilities) }

    var lines: [String] {
        [
            "\(device.name) (\(device.type))",
            entry("driver", "\(device.driver), Vulkan \(device.apiVersion.major).\(device.apiVersion.minor)"),
            entry(
                "identity",
                "vendor \(String(device.vendorID, radix: 16)), device \(String(device.deviceID, radix: 16))"),
            entry("kernels", kernels),
            entry("matrices", matrices),
            entry("measured", measured),
            entry(
                "limits",
                "\(Terminal.bytes(device.maxStorageBufferRange)) a binding, \(Terminal.bytes(device.maxAllocation)) an allocation, "
                    + "\(Terminal.bytes(device.maxSharedMemory)) of shared memory, \(device.maxWorkgroupInvocations) invocations, "
                    + "\(device.maxStorageBuffers) buffers a kernel"),
            entry(
                "subgroup",
                "\(device.subgroupSize) lanes" + (device.subgroupShuffle ? ", shuffles" : "")
                    + (device.subgroupArithmetic ? ", sums" : "")),
            entry(
                "time stamps",
                device.timestampBits > 0
                    ? "\(device.timestampBits) bits of \(Terminal.number(device.timestampPeriod)) ns" : "none"
            ),
            entry(
                "memory",
                "\(Terminal.bytes(device.memoryByteCount)), \(Terminal.bytes(device.availableMemoryByteCount)) free"
            ),
        ] + memory
    }

    private func entry(_ name: String, _ text: String) -> String {
        "   " + name + String(repeating: " ", count: max(1, 13 - name.count)) + text
    }

    private var kernels: String {
        let reason =
            DebugOptions.environment.family != nil
            ? "LORAVK_FAMILY asks for them"
            : device.tuning.family != nil
                ? "measured as the fastest"
                : device.type == .cpu ? "the rule of a software device" : "the rule of a GPU"
        let family =
            switch device.family {
            case .texel: "texel, a subgroup a workgroup, formatted reads"
            case .subgroup: "subgroup, a subgroup a workgroup, storage buffers"
            case .shared: "shared, sums through shared memory, \(device.lanes(.shared)) lanes a workgroup"
            }
        let host = device.usesHostProducts ? "; large products by the processor (\(hostInstructions))" : ""
        return "\(family)\(host); \(reason)"
    }

    private var matrices: String {
        guard let units = device.cooperativeMatrix else {
            return "no units for f16 with f32 sums (VK_KHR_cooperative_matrix)"
        }
        let use =
            device.usesMatrixUnits
            ? "in use for large products"
            : device.canUseMatrixUnits
                ? "not in use: `lora-vk tune` takes them where they are right and faster"
                : "not of use here"
        return "\(units.m) x \(units.n) x \(units.k) of f16 with f32 sums; \(use)"
    }

    private var measured: String {
        if device.tuning.isEmpty {
            return device.type == .cpu
                ? "no: the built-in rules hold; `lora-vk tune --model MODEL` measures"
                : "no: the first `train` measures, or `lora-vk tune --model MODEL`"
        }
        let changed = device.tuning.tiles.values.count { !$0.isEmpty }
        return "\(device.tuning.tiles.count) products, another tile than the rule's for \(changed)"
    }

    private var memory: [String] {
        let types = candidate.memoryTypes
        return types.kinds.enumerated().map { index, kind in
            let words =
                [
                    kind.isLocal ? "the device's own" : nil, kind.isVisible ? "seen by the host" : nil,
                    kind.isCached ? "cached" : nil,
                ].compactMap { $0 }
            let purposes = [
                (MemoryPurpose.device, "weights and activations"), (.upload, "uploads"),
                (.download, "downloads"),
            ]
            let uses = purposes.filter { types.choose($0.0, allowed: .max)?.index == UInt32(index) }.map(\.1)
            return entry(
                "",
                "kind \(index): \(Terminal.bytes(kind.heapByteCount)), "
                    + (words.isEmpty ? "for the driver" : words.joined(separator: ", "))
                    + (uses.isEmpty ? "" : "; for \(uses.joined(separator: ", "))"))
        }
    }
}
