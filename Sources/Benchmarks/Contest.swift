// Kernels timed against each other: their runs alternate, so that whatever else the machine does strikes all alike.

import Kernels
import VulkanCompute

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// One kernel recorded often enough that a run takes long beside the cost of starting it.
struct Contestant {
    let name: String
    let graph: CommandGraph
    /// Operations of one run of the graph.
    let flops: Double
    let firstSeconds: Double

    private static let secondsPerRun = 0.02

    init(
        _ name: String, on device: Device, family: Shader.Family? = nil, flops: Double,
        _ body: (CommandEncoder) throws(VulkanError) -> Void
    ) throws {
        func record(_ count: Int) throws -> CommandGraph {
            let encoder = try CommandEncoder(device)
            if let family { encoder.family = family }
            for _ in 0..<count { try body(encoder) }
            return try encoder.finish()
        }
        func seconds(_ graph: CommandGraph) throws -> Double {
            try ContinuousClock().measure { try graph.run() } / .seconds(1)
        }
        let once = try record(1)
        firstSeconds = try seconds(once)
        let again = min(try seconds(once), try seconds(once), try seconds(once))
        let count = max(1, min(1000, Int(Self.secondsPerRun / max(again, 1e-6))))
        self.name = name
        self.flops = flops * Double(count)
        graph = try record(count)
    }
}

/// Seconds of every run: on the clock, and of all processors for this process, which on a CPU device is the kernel's own
/// time however busy the machine is.
struct ContestTimes {
    var clock: [Double] = []
    var processors: [Double] = []
}

/// Runs all, in turn, `rounds` times.
func contest(_ all: [Contestant], rounds: Int) throws -> [ContestTimes] {
    var times = [ContestTimes](repeating: ContestTimes(), count: all.count)
    for _ in 0..<rounds {
        for (index, contestant) in all.enumerated() {
            let before = processorSeconds()
            let clock = try ContinuousClock().measure { try contestant.graph.run() }
            times[index].processors.append(processorSeconds() - before)
            times[index].clock.append(clock / .seconds(1))
        }
    }
    return times
}

/// Best rates, and what they are of the first one's: by the clock, and by processor time on a CPU device.
func printContest(_ title: String, _ all: [Contestant], _ times: [ContestTimes], isCPU: Bool) {
    print(title)
    func rate(_ index: Int, _ seconds: [Double]) -> Double { all[index].flops / (seconds.min() ?? .infinity) }
    for (index, contestant) in all.enumerated() {
        let clock = rate(index, times[index].clock)
        var line =
            "  " + contestant.name.padded(32) + fixed(clock / 1e9, 1).padded(8, left: true) + " GFLOP/s"
        line += fixed(clock / rate(0, times[0].clock), 3).padded(8, left: true)
        if isCPU {
            let ratio = rate(index, times[index].processors) / rate(0, times[0].processors)
            line += fixed(ratio, 3).padded(8, left: true) + " by processor time"
        }
        print(line + "   first \(Int(contestant.firstSeconds * 1000)) ms")
    }
}

/// Seconds of all processors that this process used: of a CPU device, the kernels' own.
func processorSeconds() -> Double {
    var time = timespec()
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
}

extension String {
    func padded(_ width: Int, left: Bool = false) -> String {
        let space = String(repeating: " ", count: max(0, width - count))
        return left ? space + self : self + space
    }
}
