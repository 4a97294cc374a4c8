import ArgumentParser
import Checkpoints
import Reports
import Sweeps

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

struct Report: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Show what runs did, as one HTML page of curves. Needs no GPU.",
        discussion: """
            The page needs nothing beside it. Several runs lie over one another in each figure.

              lora-vk report my-adapter
              lora-vk report lora dora --out both.html
              lora-vk report my-adapter --follow          in a second terminal, while `train` runs
            """)

    @Argument(help: "Folders of runs (train --out), or of sweeps, for all of their runs.")
    var runs: [String]

    @Option(help: "The page.")
    var out = "report.html"

    @Flag(help: "Write the page again every two seconds, until Ctrl-C. A browser that shows it keeps up.")
    var follow = false

    @Option(
        help: ArgumentHelp(
            "Also write each run's numbers for TensorBoard: a folder a run in here. See them by `tensorboard --logdir FOLDER`.",
            valueName: "folder"))
    var tensorboard: String?

    func run() throws {
        Interrupt.install()
        let runs = try self.runs.flatMap(Self.folders)
        guard Set(runs).count == runs.count else { throw ValidationError("A run is named twice.") }
        let boards = try tensorboard.map { folder in
            try runs.map { try TensorBoardFile("\(folder)/\(FileSystem.name(of: $0))", time: Self.now) }
        }
        var start: [Double]?
        while true {
            let logs = try runs.map(RunLog.init)
            let isLive = follow && !Interrupt.isRequested
            try AtomicFile.write(RunReport(logs, isLive: isLive).html, to: out)
            start = start ?? logs.map { log in Self.now - log.curve("seconds").reduce(0) { $0 + $1.value } }
            for (index, board) in (boards ?? []).enumerated() {
                try board.append(logs[index], start: start?[index] ?? Self.now)
            }
            guard isLive else { break }
            Terminal.status(
                "\(out): step \(logs.map { "\($0.lines.last?.step ?? 0)" }.joined(separator: ", "))")
            for _ in 0..<20 where !Interrupt.isRequested { usleep(100_000) }
        }
        if follow { Terminal.endStatus() }
        Terminal.error(
            "wrote \(out)" + (tensorboard.map { "; to see the curves: tensorboard --logdir \($0)" } ?? ""))
    }

    /// A folder of a sweep stands for those of its runs.
    private static func folders(_ path: String) throws -> [String] {
        let runs = "\(path)/\(SweepStore.runsName)"
        guard !FileSystem.exists("\(path)/\(RunLog.fileName)"), FileSystem.isFolder(runs) else {
            return [path]
        }
        return try FileSystem.names(in: runs).sorted().map { "\(runs)/\($0)" }
            .filter { FileSystem.exists("\($0)/\(RunLog.fileName)") }
    }

    private static var now: Double { Double(time(nil)) }
}
