// `loravk-bench`: how fast kernels and whole steps are. A subcommand a file.

import ArgumentParser

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

@main
struct BenchmarkCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "loravk-bench", abstract: "Measure kernels and training steps.",
        subcommands: [
            StepBenchmark.self, MethodsBenchmark.self, GenerateBenchmark.self, MatmulBenchmark.self,
            AttentionBenchmark.self, WorkgroupsCommand.self, RandomModelCommand.self,
        ])
}

/// A number with so many digits behind the point.
func fixed(_ value: Double, _ digits: Int) -> String {
    var buffer = [CChar](repeating: 0, count: 64)
    _ = withVaList([Int32(digits), value]) { vsnprintf(&buffer, buffer.count, "%.*f", $0) }
    return String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
}

/// The most memory this process has held.
func peakMegabytes() -> Int {
    var usage = rusage()
    getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
    return usage.ru_maxrss / 1024
}
