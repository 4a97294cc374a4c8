// Where the time of a step goes: a table by kernel, and every dispatch as a Chrome trace.

import Checkpoints
import VulkanCompute

struct StepProfile {
    private let timings: [KernelTiming]

    init(_ timings: [KernelTiming]) { self.timings = timings }

    private struct Sum {
        var calls = 0
        var (seconds, flops, bytes) = (0.0, 0.0, 0.0)

        mutating func add(_ timing: KernelTiming) {
            calls += 1
            seconds += timing.seconds
            flops += timing.flops
            bytes += timing.bytes
        }
    }

    /// `peak` is the device's measured rate of multiplies and adds, operations a second.
    func print(peak: Double) {
        var kernels: [String: Sum] = [:]
        var whole = Sum()
        for timing in timings {
            kernels[timing.kernel, default: Sum()].add(timing)
            whole.add(timing)
        }
        Swift.print(
            "  " + "kernel".padded(40)
                + ["calls", "ms", "share", "GFLOP/s", "of peak", "GB/s"].map(cell).joined())
        let sorted = kernels.sorted { $0.value.seconds > $1.value.seconds }
        for (name, sum) in sorted + [("total", whole)] {
            let cells = [
                "\(sum.calls)", fixed(sum.seconds * 1e3, 1), percent(sum.seconds / whole.seconds),
                sum.flops > 0 ? fixed(sum.flops / sum.seconds / 1e9, 1) : "",
                sum.flops > 0 ? percent(sum.flops / sum.seconds / peak) : "",
                fixed(sum.bytes / sum.seconds / 1e9, 1),
            ]
            Swift.print("  " + name.padded(40) + cells.map(cell).joined())
        }
        Swift.print(
            "  peak \(fixed(peak / 1e9, 1)) GFLOP/s of multiplies and adds, measured; GB/s counts every binding once"
        )
    }

    private func cell(_ text: String) -> String { text.padded(9, left: true) }
    private func percent(_ part: Double) -> String { fixed(100 * part, 1) + " %" }

    /// The trace event format's complete events, times in microseconds.
    func writeTrace(_ path: String) throws {
        let events = timings.map { timing -> JSON in
            .object([
                "name": .string(timing.label), "cat": .string(timing.kernel), "ph": .string("X"),
                "pid": .integer(1), "tid": .integer(1),
                "ts": .double(timing.startSeconds * 1e6), "dur": .double(timing.seconds * 1e6),
                "args": .object(["flops": .double(timing.flops), "bytes": .double(timing.bytes)]),
            ])
        }
        let trace = JSON.object(["traceEvents": .array(events), "displayTimeUnit": .string("ms")])
        try AtomicFile.write(trace.text(.compact), to: path)
    }
}
