// What the host computes between dispatches, on a device whose memory is its own.

final class HostWork {
    private let label: String
    private let kernel: String
    private let flops: Double
    private let bytes: Double
    private let body: () -> Void
    private var seconds = 0.0

    init(_ label: String, kernel: String, flops: Double, bytes: Double, _ body: @escaping () -> Void) {
        (self.label, self.kernel, self.flops, self.bytes, self.body) = (label, kernel, flops, bytes, body)
    }

    /// The seconds that it took.
    func run() -> Double {
        let start = ContinuousClock.now
        body()
        seconds = (ContinuousClock.now - start) / .seconds(1)
        return seconds
    }

    /// Of the last run.
    func timing(after start: Double) -> KernelTiming {
        KernelTiming(
            label: label, kernel: kernel, flops: flops, bytes: bytes, startSeconds: start, seconds: seconds)
    }
}
