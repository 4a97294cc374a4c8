import ArgumentParser
import Sweeps

struct MergeSweeps: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Join the folders of `sweep --part` as one. Needs no GPU.",
        discussion: """
              lora-vk sweep … --part 1/2 --out first          on one machine
              lora-vk sweep … --part 2/2 --out second         on another
              lora-vk merge-sweeps first second --out all

            OUT gets what one sweep would have written: the report, the tables, all logs and the best adapter. The parts must have been begun \
            with the same settings.
            """)

    @Argument(help: "Folders of sweeps.")
    var parts: [String]

    @Option(help: "The folder for all of it.")
    var out: String

    func run() throws {
        let store = try SweepStore.merge(parts, into: out)
        let report = try store.publishReport()
        Terminal.error("wrote \(out)/report.html of \(report.results.count) runs")
    }
}
