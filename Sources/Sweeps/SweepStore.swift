// What a sweep has found out, in its folder's sweep.sqlite. A run appears there when it is done, whole; which runs are being
// computed, and by whom, is told by locks that the system releases however a process ends.

import Checkpoints
import LoRAVK

package struct SweepResult: Sendable, Equatable {
    package var point: SweepPoint
    /// The step whose loss or gradients were no numbers any more; nil: the run came to its end.
    package var divergedAt: Int?
    /// The mean of the last tenth of the steps.
    package var trainLoss: Double?
    package var validationLoss: Double?
    /// Of the validation's targets, how many were the model's first choice.
    package var accuracy: Double?
    /// Of the validation's examples, those whose every target was.
    package var exampleAccuracy: Double?
    package var parameters = 0
    /// Bytes of the device that a run takes, as planned.
    package var memory = 0
    package var secondsPerStep = 0.0
    package var curve: [Step] = []

    package init(_ point: SweepPoint) { self.point = point }

    package struct Step: Sendable, Equatable {
        package var step: Int
        package var loss: Double
        package var learningRate: Double
        package var gradientNorm: Double
        /// After the step, where it was looked at.
        package var validationLoss: Double?
        package var zA: Double?
        package var zB: Double?

        package init(step: Int, loss: Double, learningRate: Double, gradientNorm: Double) {
            (self.step, self.loss) = (step, loss)
            (self.learningRate, self.gradientNorm) = (learningRate, gradientNorm)
        }
    }

    /// What the report compares: the validation loss where there is one.
    package var loss: Double? { divergedAt == nil ? validationLoss ?? trainLoss : nil }
}

/// One thread uses it; several processes may share the folder.
package final class SweepStore {
    package let folder: String
    private let database: Database
    private let claims: ClaimFile

    private static let version = 2

    /// Takes the folder, making it where needed. `settings` is all that holds for every run; it must be what the sweep was
    /// begun with.
    package init(_ folder: String, settings: JSON.Object) throws(FileError) {
        try FileSystem.makeFolder(folder)
        self.folder = folder
        claims = try ClaimFile("\(folder)/.claims")
        database = try Database("\(folder)/sweep.sqlite")
        try database.transaction { () throws(FileError) in try open(settings) }
    }

    private func open(_ settings: JSON.Object) throws(FileError) {
        try database.requireSchema(Self.tables)
        let found = try database.run("PRAGMA user_version").first?.first?.whole ?? 0
        guard found == 0 || found == Self.version else {
            throw FileError(
                database.path, "has layout \(found), this program knows \(Self.version)",
                remedy: "use the version of lora-vk that wrote it, or another folder")
        }
        if found == 0 {
            for sql in Self.tables { try database.run(sql) }
            for (key, value) in settings.members.map({ ($0.key, $0.value) }) {
                try database.run(
                    "INSERT INTO settings VALUES (?, ?)", [.text(key), .text(value.text(.compact))])
            }
            try database.run("PRAGMA user_version = \(Self.version)")
        } else if let problem = try database.run("PRAGMA quick_check").first?.first?.string, problem != "ok" {
            throw FileError(
                database.path, "is damaged: \(problem)",
                remedy: "move it away to begin the sweep again, or restore a copy")
        }
        for member in settings.members {
            let text = member.value.text(.compact)
            let rows = try database.run("SELECT value FROM settings WHERE key = ?", [.text(member.key)])
            let begun = rows.first?.first?.string ?? "null"
            guard begun == text else {
                throw FileError(
                    folder, "holds a sweep begun with \(member.key) \(begun), not \(text)",
                    remedy: "choose another folder, or the old value")
            }
        }
    }

    private static let tables = [
        "CREATE TABLE settings (key TEXT PRIMARY KEY, value TEXT NOT NULL)",
        """
        CREATE TABLE runs (id INTEGER PRIMARY KEY, method TEXT NOT NULL, init TEXT NOT NULL, rank INTEGER NOT NULL,
        lr REAL NOT NULL, seed TEXT NOT NULL, state TEXT, diverged_at INTEGER, train_loss REAL, validation_loss REAL,
        accuracy REAL, example_accuracy REAL, parameters INTEGER, memory_bytes INTEGER, seconds_per_step REAL, UNIQUE (method, init, rank, lr, seed))
        """,
        """
        CREATE TABLE steps (run INTEGER NOT NULL REFERENCES runs, step INTEGER NOT NULL, loss REAL, lr REAL,
        grad_norm REAL, validation_loss REAL, z_a REAL, z_b REAL, PRIMARY KEY (run, step)) WITHOUT ROWID
        """,
    ]

    // MARK: Runs

    /// Enters the points that are not there yet.
    package func add(_ points: [SweepPoint]) throws(FileError) {
        try database.transaction { () throws(FileError) in
            for point in points {
                try database.run(
                    "INSERT OR IGNORE INTO runs (method, init, rank, lr, seed) VALUES (?, ?, ?, ?, ?)",
                    point.values)
            }
        }
    }

    /// The run is this process's, if it is not done and no other process computes it. The claim ends with `Claim`'s life.
    package func claim(_ point: SweepPoint) throws(FileError) -> Claim? {
        let identity = try id(of: point)
        guard let claim = try claims.claim(identity) else { return nil }
        return try isDone(identity) ? nil : claim
    }

    package func isDone(_ point: SweepPoint) throws(FileError) -> Bool { try isDone(id(of: point)) }

    private func isDone(_ id: Int) throws(FileError) -> Bool {
        try database.run("SELECT state FROM runs WHERE id = ?", [.integer(id)]).first?.first?.string != nil
    }

    private func id(of point: SweepPoint) throws(FileError) -> Int {
        let rows = try database.run(
            "SELECT id FROM runs WHERE method = ? AND init = ? AND rank = ? AND lr = ? AND seed = ?",
            point.values)
        guard let id = rows.first?.first?.whole else {
            throw FileError(database.path, "lost the run \(point.series), seed \(point.seed)")
        }
        return id
    }

    package func save(_ result: SweepResult) throws(FileError) {
        let id = try id(of: result.point)
        try database.transaction { () throws(FileError) in
            try database.run(
                """
                UPDATE runs SET state = ?, diverged_at = ?, train_loss = ?, validation_loss = ?, accuracy = ?,
                example_accuracy = ?, parameters = ?, memory_bytes = ?, seconds_per_step = ? WHERE id = ?
                """,
                [
                    .text(result.divergedAt == nil ? "finished" : "diverged"), .init(result.divergedAt),
                    .init(result.trainLoss), .init(result.validationLoss), .init(result.accuracy),
                    .init(result.exampleAccuracy), .integer(result.parameters), .integer(result.memory),
                    .real(result.secondsPerStep), .integer(id),
                ])
            for step in result.curve {
                try database.run(
                    "INSERT INTO steps VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                    [
                        .integer(id), .integer(step.step), .real(step.loss), .real(step.learningRate),
                        .real(step.gradientNorm), .init(step.validationLoss), .init(step.zA), .init(step.zB),
                    ])
            }
        }
    }

    /// All runs that are done, in the order they were entered.
    package func results() throws(FileError) -> [SweepResult] {
        var curves: [Int: [SweepResult.Step]] = [:]
        for row in try database.run(
            "SELECT run, step, loss, lr, grad_norm, validation_loss, z_a, z_b FROM steps ORDER BY run, step")
        {
            guard let run = row[0].whole, let number = row[1].whole else { continue }
            var step = SweepResult.Step(
                step: number, loss: row[2].number ?? .nan, learningRate: row[3].number ?? .nan,
                gradientNorm: row[4].number ?? .nan)
            (step.validationLoss, step.zA, step.zB) = (row[5].number, row[6].number, row[7].number)
            curves[run, default: []].append(step)
        }
        let rows = try database.run(
            """
            SELECT id, method, init, rank, lr, seed, diverged_at, train_loss, validation_loss, accuracy,
            example_accuracy, parameters, memory_bytes, seconds_per_step FROM runs WHERE state IS NOT NULL ORDER BY id
            """)
        return try rows.map { row throws(FileError) in
            guard let id = row[0].whole, let method = row[1].string, let initialization = row[2].string,
                let rank = row[3].whole, let rate = row[4].number, rate > 0, rate.isFinite,
                let seed = row[5].string.flatMap({ UInt64($0) })
            else { throw FileError(database.path, "has a run whose values are of the wrong kind") }
            var result = SweepResult(
                SweepPoint(
                    method: method, initialization: initialization, rank: rank, learningRate: rate, seed: seed
                ))
            (result.divergedAt, result.trainLoss) = (row[6].whole, row[7].number)
            (result.validationLoss, result.accuracy) = (row[8].number, row[9].number)
            result.exampleAccuracy = row[10].number
            (result.parameters, result.memory) = (row[11].whole ?? 0, row[12].whole ?? 0)
            result.secondsPerStep = row[13].number ?? 0
            result.curve = curves[id] ?? []
            return result
        }
    }

    /// Settings as they were when the sweep began, in their order.
    package func settings() throws(FileError) -> [(key: String, value: String)] {
        try database.run("SELECT key, value FROM settings ORDER BY rowid").map {
            ($0[0].string ?? "", $0[1].string ?? "")
        }
    }

    /// Writes what is made of the results, one process at a time, so that the last to write has seen all.
    package func publish(_ body: ([SweepResult]) throws -> Void) throws {
        let turn = try claims.wait()
        try body(results())
        withExtendedLifetime(turn) {}
    }
}

extension SweepPoint {
    /// A seed has 64 bits without sign, SQLite's integers have one.
    fileprivate var values: [Database.Value] {
        [.text(method), .text(initialization), .integer(rank), .real(learningRate), .text("\(seed)")]
    }
}
