// What is kept of runs, whose turn it is, and folders that hold something else.

import CSQLite
import Checkpoints
import Foundation
import Glibc
import Sweeps
import Testing

@Suite struct SweepStoreTests {
    private let settings: JSON.Object = ["steps": .integer(2), "data": .string("a\"b")]
    private let point = SweepPoint(
        method: "lora", initialization: "init-b", rank: 4, learningRate: 1e-3,
        seed: UInt64(Int64.max), others: [.init("targets", "q_proj,v_proj")])

    private func withFolder(_ body: (String) throws -> Void) throws {
        let folder = NSTemporaryDirectory() + "sweep-\(UUID().uuidString)"
        defer { try? FileManager.default.removeItem(atPath: folder) }
        try body(folder)
    }

    private func result(_ point: SweepPoint, divergedAt: Int? = nil) -> SweepResult {
        var result = SweepResult(point)
        (result.divergedAt, result.trainLoss) = (divergedAt, divergedAt == nil ? 0.1 + 0.2 : nil)
        (result.parameters, result.secondsPerStep) = (7, 0.5)
        (result.exampleAccuracy, result.memory) = (2 / 3, 1 << 40)
        result.tokenAccuracy = 0.75
        var looked = SweepResult.Step(step: 2, loss: 1, learningRate: 1, gradientNorm: 1)
        (looked.validationLoss, looked.zA, looked.zB) = (0.1, 1e-9, 0)
        result.curve = [
            .init(step: 1, loss: 1 / 3, learningRate: 1e-300, gradientNorm: .leastNonzeroMagnitude), looked,
        ]
        return result
    }

    @Test func resultsComeBackToTheBit() throws {
        try withFolder { folder in
            var other = point
            other.seed = 2
            let store = try SweepStore(folder, settings: settings)
            try store.add([point, other])
            try store.add([point])
            try store.save(result(point))
            try store.save(result(other, divergedAt: 2))
            #expect(
                try SweepStore(folder, settings: settings).results() == [
                    result(point), result(other, divergedAt: 2),
                ])
        }
    }

    /// The folder of the best is that of the least loss, of equal ones of the first run, in whatever order they end.
    @Test func theBestIsKeptInAnyOrder() throws {
        let losses = [0.5, 0.25, 0.25, 1]
        for order in [[0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1]] {
            try withFolder { folder in
                let store = try SweepStore(folder, settings: settings)
                let points = losses.indices.map { seed in
                    var point = point
                    point.seed = UInt64(seed)
                    return point
                }
                try store.add(points)
                for index in order {
                    var result = result(points[index])
                    result.validationLoss = losses[index]
                    try store.save(result) { best in
                        try AtomicFile.write("\(index)", to: "\(best)/adapter")
                        try AtomicFile.write("", to: "\(best)/of-\(index)")
                    }
                }
                #expect(try FileSystem.names(in: store.best).sorted() == ["adapter", "of-1"])
                #expect(try FileSystem.contents(of: "\(store.best)/adapter") == Array("1".utf8))
                #expect(try FileSystem.names(in: folder).allSatisfy { !$0.contains("best.") })
            }
        }
    }

    /// What cannot be written leaves the run to be computed again, and the best that was there.
    @Test func aBestThatCannotBeWrittenIsNotEntered() throws {
        try withFolder { folder in
            var better = point
            better.seed = 1
            let store = try SweepStore(folder, settings: settings)
            try store.add([point, better])
            try store.save(result(point)) { try AtomicFile.write("old", to: "\($0)/adapter") }
            var result = result(better)
            result.validationLoss = -1
            #expect(throws: FileError.self) {
                try store.save(result) { try AtomicFile.write("new", to: "\($0)/none/adapter") }
            }
            #expect(try !store.isDone(better))
            #expect(try FileSystem.contents(of: "\(store.best)/adapter") == Array("old".utf8))
        }
    }

    @Test func rungsAreKept() throws {
        try withFolder { folder in
            var (other, third) = (point, point)
            (other.seed, third.seed) = (2, 3)
            let store = try SweepStore(folder, settings: settings)
            try store.add([point, other, third])
            #expect(try store.loss(of: point, rung: 0) == nil)
            try store.note(0.5, of: point, rung: 0)
            try store.note(nil, of: other, rung: 0)
            #expect(try store.loss(of: point, rung: 0) == .some(0.5) && store.loss(of: point, rung: 1) == nil)
            #expect(try store.loss(of: other, rung: 0) == .some(nil))
            try store.save(result(third, divergedAt: 2))
            #expect(try store.loss(of: third, rung: 1) == .some(nil), "what diverged has no loss at any rung")
        }
    }

    @Test func aRunBelongsToOneAndIsFreeAgainAfterThat() throws {
        try withFolder { folder in
            let (one, two) = (
                try SweepStore(folder, settings: settings), try SweepStore(folder, settings: settings)
            )
            try one.add([point])
            let claim = try one.claim(point)
            #expect(claim != nil)
            #expect(try two.claim(point) == nil)
            withExtendedLifetime(claim) {}
        }
        try withFolder { folder in
            let store = try SweepStore(folder, settings: settings)
            try store.add([point])
            do { #expect(try store.claim(point) != nil) }
            #expect(
                try store.claim(point) != nil, "the claim of a process that ended without a result is gone")
            try store.save(result(point))
            #expect(try store.claim(point) == nil && store.isDone(point))
        }
    }

    @Test func otherSettingsAreRefused() throws {
        try withFolder { folder in
            _ = try SweepStore(folder, settings: settings)
            let error = #expect(throws: FileError.self) {
                try SweepStore(folder, settings: ["steps": .integer(3), "data": .string("a\"b")])
            }
            #expect(
                error?.description
                    == "\(folder): holds a sweep begun with steps 2, not 3; choose another folder, or the old value"
            )
        }
    }

    /// Whatever is overwritten in the file: an error that names it, or a database that still works.
    @Test func aDamagedDatabaseIsASentence() throws {
        try withFolder { folder in
            let store = try SweepStore(folder, settings: settings)
            try store.add([point])
            try store.save(result(point))
            let path = URL(fileURLWithPath: "\(folder)/sweep.sqlite")
            let whole = try Data(contentsOf: path)
            var refused = 0
            for offset in stride(from: 0, to: whole.count, by: 1024) {
                var damaged = whole
                damaged.replaceSubrange(
                    offset..<min(offset + 64, whole.count),
                    with: [UInt8](repeating: 0xA5, count: min(64, whole.count - offset)))
                try damaged.write(to: path)
                do {
                    _ = try SweepStore(folder, settings: settings).results()
                } catch let error {
                    refused += 1
                    #expect("\(error)".hasPrefix("\(folder)"), "\(error)")
                }
            }
            #expect(refused > 0)
            try Data("no database at all, but long enough to be read as one".utf8).write(to: path)
            let error = #expect(throws: FileError.self) { try SweepStore(folder, settings: settings) }
            #expect(
                error?.description
                    == "\(path.path): cannot use the database: file is not a database; move it away to begin the sweep again, or restore a copy"
            )
        }
    }

    // MARK: Folders of others

    /// Nothing is written through what lies where the store's files belong, and nothing is waited for.
    @Test(arguments: [
        ".claims", "sweep.sqlite", "sweep.sqlite-journal", "sweep.sqlite-wal", "sweep.sqlite-shm",
    ])
    func linksAndSpecialFilesAreSentences(_ name: String) throws {
        for kind in ["link", "fifo", "folder"] {
            try withFolder { folder in
                let outside = folder + "-outside"
                defer { unlink(outside) }
                try Data("precious".utf8).write(to: URL(fileURLWithPath: outside))
                try FileSystem.makeFolder(folder)
                let path = "\(folder)/\(name)"
                let made =
                    switch kind {
                    case "link": symlink(outside, path)
                    case "fifo": mkfifo(path, 0o600)
                    default: mkdir(path, 0o700)
                    }
                #expect(made == 0)
                let error = #expect(throws: FileError.self) { try SweepStore(folder, settings: settings) }
                #expect(
                    error?.description.contains(
                        kind == "link"
                            ? "is a link, and links are not written through" : "is not a regular file")
                        == true)
                #expect(try Data(contentsOf: URL(fileURLWithPath: outside)) == Data("precious".utf8))
            }
        }
    }

    /// A journal may name a further one, which SQLite would remove after it has played the first back.
    @Test func aJournalThatNamesAFileIsRefused() throws {
        try withFolder { folder in
            _ = try SweepStore(folder, settings: settings)
            let path = "\(folder)/sweep.sqlite-journal"
            let magic: [UInt8] = [0xD9, 0xD5, 0x05, 0xF9, 0x20, 0xA1, 0x63, 0xD7]
            try Data([UInt8](repeating: 0, count: 512) + magic).write(to: URL(fileURLWithPath: path))
            let error = #expect(throws: FileError.self) { try SweepStore(folder, settings: settings) }
            #expect(error?.description.contains("names a further journal") == true)
        }
    }

    /// What a schema of others would run with every statement.
    @Test(arguments: [
        "CREATE TRIGGER t AFTER INSERT ON runs BEGIN SELECT 1; END",
        "CREATE VIEW v AS SELECT 1",
        "DROP TABLE steps; CREATE VIEW steps (run, step, loss, lr, grad_norm, validation_loss, z_a, z_b) AS "
            + "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT x, x, x, x, x, x, x, x FROM c",
    ])
    func aSchemaOfOthersIsRefused(_ sql: String) throws {
        try withFolder { folder in
            _ = try SweepStore(folder, settings: settings)
            try execute(sql, folder)
            let error = #expect(throws: FileError.self) { try SweepStore(folder, settings: settings) }
            #expect(error?.description.contains("was not made by this program") == true)
        }
    }

    /// Rows that no run wrote: the report is written, or a sentence says what is wrong.
    @Test(arguments: [
        "lr = -1", "lr = 0", "lr = 9e999", "lr = 1e-320", "lr = 1e308", "train_loss = 1e17",
        "train_loss = 1e308",
        "train_loss = -1e308", "train_loss = 9e999", "train_loss = 5e-324", "method = '=1+1'", "rank = -1",
        "options = '{'",
        "options = '{\"=a\": \"=b\"}'", "seed = -1", "pruned_at = -1",
        "parameters = 9223372036854775807", "memory_bytes = -9223372036854775808", "diverged_at = -1",
        "example_accuracy = 1e300", "seconds_per_step = -9e999",
    ])
    func aReportOfAnyNumbersDoesNotTrap(_ change: String) throws {
        try withFolder { folder in
            let store = try SweepStore(folder, settings: settings)
            var (second, third) = (point, point)
            (second.seed, third.learningRate) = (1, 1)
            try store.add([point, second, third])
            for point in [point, second, third] { try store.save(result(point)) }
            try execute("UPDATE runs SET \(change) WHERE id = 1", folder)
            try report(store, folder)
            try execute("UPDATE OR IGNORE runs SET \(change)", folder)
            try report(store, folder)
        }
    }

    @Test(arguments: ["1e17", "9007199254740993", "1e308", "-1e308", "9e999", "5e-324", "NULL", "'x'"])
    func aReportOfAnyStepsDoesNotTrap(_ value: String) throws {
        try withFolder { folder in
            let store = try SweepStore(folder, settings: settings)
            try store.add([point])
            try store.save(result(point))
            let columns = ["loss", "lr", "grad_norm", "validation_loss", "z_a", "z_b"]
            let change = columns.map { "\($0) = \(value)" }.joined(separator: ", ")
            try execute("UPDATE steps SET \(change) WHERE step = 1", folder)
            try report(store, folder)
            try execute("UPDATE steps SET \(change)", folder)
            try report(store, folder)
            try execute("UPDATE steps SET step = step + 9223372036854775800", folder)
            try report(store, folder)
        }
    }

    private func report(_ store: SweepStore, _ folder: String) throws {
        do {
            let results = try store.results()
            try SweepReport(results, settings: store.settings()).write(to: folder)
            let html = try String(contentsOfFile: folder + "/report.html", encoding: .utf8)
            #expect(html.contains("</svg>"))
            let csv = try String(contentsOfFile: folder + "/results.csv", encoding: .utf8)
            #expect(!csv.contains("\n="))
        } catch let error as FileError {
            #expect(error.description.contains("has a run whose values are of the wrong kind"))
        }
    }

    private func execute(_ sql: String, _ folder: String) throws {
        var handle: OpaquePointer?
        try #require(sqlite3_open(folder + "/sweep.sqlite", &handle) == SQLITE_OK)
        defer { sqlite3_close(handle) }
        try #require(sqlite3_exec(handle, sql, nil, nil, nil) == SQLITE_OK, "\(sql)")
    }
}
