import ArgumentParser
import Checkpoints
import LoRAVK
import Sweeps
import VulkanCompute

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

struct ToyStudy: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "toy",
        abstract: "The best learning rate of Init[A] and Init[B] against the width of a toy model.",
        discussion: """
            OUT gets runs.csv, rates.csv, features.csv, exponents.csv and the figures as SVG, anew after every width. The same \
            options give the same bits on the same device.
            """)

    @Option(help: "The folder for numbers and figures.")
    var out: String
    @Option(help: "Widths: multiples of 64 separated by commas.")
    var widths = "128,256,512,1024,2048,4096"
    @Option(help: "Learning rates, as `lora-vk sweep` takes them.")
    var lr = "1e-4...0.4096:25"
    @Option(help: "Seeds, as `lora-vk sweep` takes them.")
    var seeds = "1..5"
    @Option(help: "Steps of each run.")
    var steps = 100

    /// Steps from one measurement of the features to the next.
    private static let measuredEvery = 5

    func run() throws {
        let widths = self.widths.split(separator: ",").map { Int($0) ?? 0 }
        guard !widths.isEmpty, widths.allSatisfy({ $0 > 0 && $0 % 64 == 0 && $0 <= 8192 }) else {
            throw ValidationError("--widths: '\(self.widths)' are no multiples of 64 up to 8192")
        }
        guard Set(widths).count == widths.count else {
            throw ValidationError("--widths: '\(self.widths)' has a width twice")
        }
        guard steps > 0 else { throw ValidationError("--steps is \(steps); it must be 1 or more") }
        let (rates, seeds) = (try SweepAxis.rates(lr).sorted(), try SweepAxis.seeds(self.seeds))
        try FileSystem.makeFolder(out)
        let device = try Device.open()
        var report = ToyReport(rates: rates, seeds: seeds, steps: steps)
        let start = ContinuousClock.now
        // Time grows with the width, nearly in proportion.
        var (done, left) = (0, widths.reduce(0, +) * seeds.count * Initialization.allCases.count)
        for width in widths {
            for seed in seeds {
                let model = try ToyModel(device, width: width, seed: seed)
                for initialization in Initialization.allCases {
                    report.add(
                        try rates.map {
                            try model.train(
                                initialization, learningRate: $0, steps: steps,
                                measuredEvery: Self.measuredEvery)
                        }, initialization, width: width)
                    (done, left) = (done + width, left - width)
                    let seconds = (ContinuousClock.now - start) / .seconds(1)
                    print(
                        "width \(width), seed \(seed), \(initialization.rawValue): \(rates.count) runs, \(Int(seconds)) s, "
                            + "about \(Int(seconds * Double(left) / Double(done))) s left")
                    fflush(nil)
                }
            }
            try report.write(to: out)
        }
        for line in report.summary { print(line) }
    }
}
