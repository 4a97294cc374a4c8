// Reports of runs from their files: what is read, what is refused, and that the page is whole.

import Checkpoints
import Foundation
import Reports
import Testing

@Suite struct RunReportTests {
    private func withRun<Result>(_ lines: String, _ body: (String) throws -> Result) throws -> Result {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString).path
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        try AtomicFile.write(lines, to: "\(folder)/metrics.jsonl")
        return try body(folder)
    }

    private func line(_ step: Int, _ loss: Double, more: String = "") -> String {
        #"{"step": \#(step), "loss": \#(loss), "tokens": 10, "seconds": 0.5\#(more)}"# + "\n"
    }

    @Test func everyNumberIsACurve() throws {
        let text =
            line(1, 3) + line(2, 2, more: #", "validation_loss": 2.5, "margin": 0.25, "note": "x""#)
            + line(3, 1, more: #", "samples": [{"prompt": "Who <sails>?", "text": "I & you"}]"#)
        try withRun(text) { folder in
            let run = try RunLog(folder)
            #expect(run.keys == ["loss", "tokens", "seconds", "validation_loss", "margin"])
            #expect(run.curve("loss").map(\.value) == [3, 2, 1])
            #expect(run.curve("margin").map(\.step) == [2])
            let page = RunReport([run]).html
            for part in [
                "<title>Training loss</title>", "<title>margin</title>",
                "<td>2.5</td><td>2</td><td>30</td><td>20</td>",
                "Who &lt;sails&gt;?", "<pre>I &amp; you</pre>",
            ] {
                #expect(page.contains(part), "no \(part)")
            }
            #expect(!page.contains("http-equiv") && !page.contains("<title>tokens</title>"))
            #expect(RunReport([run], isLive: true).html.contains("http-equiv=\"refresh\" content=\"5\""))
            #expect(XMLDocumentCheck.isWellFormed(page))
        }
    }

    /// A million numbers are a few hundred points, and none of them is lost to the band.
    @Test func longRunsAreDrawnAsMeans() throws {
        try withRun((1...3000).map { line($0, $0 == 1500 ? 9 : 1) }.joined()) { folder in
            let page = RunReport([try RunLog(folder)]).html
            #expect(page.utf8.count < 200_000)
            #expect(page.contains("means of neighbouring steps"))
        }
    }

    @Test func aLineThatIsBeingWrittenIsNotRead() throws {
        try withRun(line(1, 3) + #"{"step": 2, "lo"#) { folder in
            let run = try RunLog(folder)
            #expect(run.lines.count == 1)
        }
        try withRun("") { folder in
            let page = RunReport([try RunLog(folder)]).html
            #expect(page.contains("No step is done yet"))
        }
    }

    @Test(arguments: [
        ("{\n", "line 1"), ("3\n", "expected an object"), (#"{"loss": 1}"# + "\n", "has no 'step'"),
        (#"{"step": -1, "loss": 1}"# + "\n", "has no 'step'"),
    ])
    func badLinesAreNamed(_ text: String, _ part: String) throws {
        try withRun(text) { folder in
            let error = #expect(throws: FileError.self) { try RunLog(folder) }
            #expect(error?.description.contains(part) == true, "\(error?.description ?? "")")
        }
        #expect(throws: FileError.self) { try RunLog("/nowhere/at/all") }
    }

    /// Python's tests read the file by TensorBoard itself.
    @Test func eventsAreAppendedOnce() throws {
        try withRun(line(1, 3)) { folder in
            let run = try RunLog(folder)
            let file = try TensorBoardFile("\(folder)/board", time: 1)
            try file.append(run, start: 1)
            let path = "\(folder)/board/events.out.tfevents.lora-vk"
            let once = try FileSystem.contents(of: path)
            try file.append(run, start: 1)
            #expect(try FileSystem.contents(of: path) == once)
            // A length of 24 bytes with its checksum, then wall_time 1.0 and the version.
            #expect(
                once.starts(with: [
                    24, 0, 0, 0, 0, 0, 0, 0, 0xA3, 0x7F, 0x4B, 0x22, 9, 0, 0, 0, 0, 0, 0, 0xF0, 0x3F, 26,
                ]))
        }
    }
}

private enum XMLDocumentCheck {
    /// Every element that is opened is closed, in its order.
    static func isWellFormed(_ page: String) -> Bool {
        var open: [Substring] = []
        var rest = page[...]
        while let start = rest.firstIndex(of: "<") {
            guard let end = rest[start...].firstIndex(of: ">") else { return false }
            let tag = rest[rest.index(after: start)..<end]
            rest = rest[rest.index(after: end)...]
            if tag.hasPrefix("!") || tag.hasSuffix("/") { continue }
            let name = tag.drop { $0 == "/" }.prefix { $0 != " " && $0 != "\n" }
            if tag.hasPrefix("/") {
                guard open.popLast() == name else { return false }
            } else {
                open.append(name)
            }
        }
        return open.isEmpty
    }
}
