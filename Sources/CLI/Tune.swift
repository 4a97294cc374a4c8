import ArgumentParser
import Checkpoints
import LoRAVK
import Kernels
import VulkanCompute

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

struct Tune: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Measure which kernels the device runs fastest, and keep what was found.",
        discussion: """
            Takes seconds to a minute, once for a device, its driver and a kind of model; what is found holds for every later run \
            on the device. `train` does it by itself on a GPU that was never measured. Tiles change no bit of a result; another \
            family or order of sums, which is measured too, changes the last ones. Matrix units of a GPU round the factors of products with \
            the model's weights to f16 (3 digits), and are taken where they are right and faster. On Mesa's software driver the width of its \
            vectors is measured first.
            """)

    @OptionGroup var modelOptions: ModelOptions

    @Option(parsing: .upToNextOption, help: "Tokens of a batch.")
    var rows = Tuner.usualRows

    @Flag(inversion: .prefixedNo, help: "Try the matrix units of a GPU; without them all arithmetic is f32.")
    var matrixUnits = true

    @Flag(help: "Forget what was measured: the built-in rules hold again.")
    var reset = false

    /// What a copy of this program does for each width of the driver's vectors.
    @Flag(help: .hidden)
    var probe = false

    func validate() throws {
        guard !rows.isEmpty, rows.allSatisfy(Tuner.possibleRows.contains) else {
            throw ValidationError(
                "--rows takes numbers from \(Tuner.possibleRows.lowerBound) to \(Tuner.possibleRows.upperBound)"
            )
        }
    }

    func run() throws {
        if probe {
            let device = try Device.open(modelOptions.device)
            Terminal.print("\(try Tuner.rate(device)) \(device.capabilities.name)")
            return
        }
        if reset {
            SoftwareDriver.keep(vectorBits: nil)
            let device = try Device.open(modelOptions.device)
            guard Tuning.forget(for: device) else {
                throw ConfigError(
                    "what was measured cannot be removed from the cache folder: is it read-only?")
            }
            Terminal.print("\(device.capabilities.name): the built-in rules hold again")
            return
        }
        let checkpoint = try Checkpoint.open(path: modelOptions.model)
        try chooseVectors()
        let device = try modelOptions.openDevice()
        try modelOptions.tune(
            device,
            try Tuner(
                checkpoint, on: device, weights: modelOptions.weights, rows: rows, matrixUnits: matrixUnits))
    }

    /// The driver takes its vectors' width when it loads, so each is measured by a program of its own.
    private func chooseVectors() throws {
        guard !SoftwareDriver.isSet, let ruled = measured(vectorBits: nil), ruled.device.hasPrefix("llvmpipe")
        else { return }
        let rates = SoftwareDriver.vectorBits.compactMap { bits in
            measured(vectorBits: bits).map { (bits: bits, rate: $0.rate) }
        }
        guard let best = rates.max(by: { $0.rate < $1.rate }) else { return }
        for (bits, rate) in rates {
            Terminal.print("vectors of \(bits) bits: \(Terminal.number(rate / 1e9)) GFLOP/s")
        }
        SoftwareDriver.use(vectorBits: best.bits)
        if !SoftwareDriver.keep(vectorBits: best.bits) {
            Terminal.error("lora-vk: warning: the width could not be kept in the cache folder")
        }
    }

    private func measured(vectorBits: Int?) -> (rate: Double, device: String)? {
        let path = CommandLine.arguments[0].contains("/") ? CommandLine.arguments[0] : "/proc/self/exe"
        guard let program = realpath(path, nil) else { return nil }
        defer { free(program) }
        setenv("LORAVK_PROGRAM", program, 1)
        if let device = modelOptions.device { setenv("LORAVK_DEVICE", device, 1) }
        var command = "exec \"$LORAVK_PROGRAM\" tune --model - --probe"
        if let vectorBits { command = "LP_NATIVE_VECTOR_WIDTH=\(vectorBits) " + command }
        guard let output = popen(command, "r") else { return nil }
        var line = [CChar](repeating: 0, count: 512)
        let isRead = fgets(&line, Int32(line.count), output) != nil
        guard pclose(output) == 0, isRead else { return nil }
        let text = String(
            decoding: line.prefix { $0 != 0 && $0 != 10 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        let words = text.split(separator: " ", maxSplits: 1)
        guard words.count == 2, let rate = Double(words[0]) else { return nil }
        return (rate, String(words[1]))
    }
}

extension ModelOptions {
    /// The device, measured first where it is a GPU that never was with products of this model's shapes; a software device has rules that
    /// were found by measuring.
    func openTunedDevice(_ checkpoint: Checkpoint) throws -> Device {
        let device = try openDevice()
        guard device.capabilities.type != .cpu else { return device }
        let tuner = try Tuner(checkpoint, on: device, weights: weights).unknown
        if tuner.isEmpty { return device }
        Terminal.error("\(device.capabilities.name): measuring its kernels for this kind of model, once")
        try tune(device, tuner)
        return try openDevice()
    }

    func tune(_ device: Device, _ tuner: Tuner) throws {
        func column(_ text: String, _ width: Int) -> String {
            text + String(repeating: " ", count: max(1, width - text.count))
        }
        Terminal.error(
            column("product, weight, tokens x out x in", 36) + column("rule GFLOP/s", 14) + column("best", 10)
                + "tile")
        let found = try tuner.run { finding in
            let tile = finding.tile.map { tile in
                tile.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }.joined(separator: " ")
            }
            Terminal.error(
                column(finding.name, 36) + column(Terminal.number(finding.ruled / 1e9), 14)
                    + column(Terminal.number(finding.best / 1e9), 10) + (tile ?? "the rule's"))
            return true
        }
        guard let tuning = found else { return }
        device.savePipelines()
        Terminal.error(
            "kernels: \(tuning.family ?? ""), products of a step \(tuning.sumsSteps == true ? "summed first" : "added one by one")"
        )
        if tuning.family == Capabilities.matrixUnits {
            Terminal.error(
                "products with the model's weights have factors of f16; `lora-vk tune --no-matrix-units` keeps f32"
            )
        }
        if let path = tuning.save(for: device) {
            Terminal.error("kept in \(path); `lora-vk tune --reset` forgets it")
        } else {
            Terminal.error("lora-vk: warning: the result could not be kept in the cache folder")
        }
    }
}
