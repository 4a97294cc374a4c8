// What a sweep has found out, in its folder's sweep.sqlite. A run appears there when it is done, whole; which runs are being
// computed, and by whom, is told by locks that the system releases however a process ends.

import Checkpoints
import LoRAVK

/// One thread uses it; several processes may share the folder.
package final class SweepStore {
    package let folder: String
    private let database: Database
    private let claims: ClaimFile

    private static let version = 3

    /// The folder of the best adapter, and that of the runs' logs.
    package static let (bestName, runsName) = ("best", "runs")
    /// What is said of the best beside its adapter.
    static let resultName = "result.json"

    static let begunKey = "begun"

    /// When the sweep of a folder began; nil where there is none.
    package static func begun(in folder: String) throws(FileError) -> String? {
        guard FileSystem.exists("\(folder)/sweep.sqlite") else { return nil }
        let store = try SweepStore(folder, settings: [:])
        return try store.settings().first { $0.key == begunKey }?.value
    }

    package var best: String { "\(folder)/\(Self.bestName)" }

    /// Where a run is trained, and what stays of it: its log.
    package func folder(of point: SweepPoint) -> String {
        "\(folder)/\(Self.runsName)/\(point.folderName)"
    }

    /// Takes the folder, making it where needed. `settings` is all that holds for every run; it must be what the sweep was
    /// begun with. `begun`: the date, where it begins.
    package init(_ folder: String, settings: JSON.Object, begun: String? = nil) throws(FileError) {
        try FileSystem.makeFolder(folder)
        self.folder = folder
        claims = try ClaimFile("\(folder)/.claims")
        database = try Database("\(folder)/sweep.sqlite")
        try database.transaction { () throws(FileError) in try open(settings, begun) }
    }

    private func open(_ settings: JSON.Object, _ begun: String?) throws(FileError) {
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
            if let begun {
                try database.run("INSERT INTO settings VALUES (?, ?)", [.text(Self.begunKey), .text(begun)])
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
        options TEXT NOT NULL, lr REAL NOT NULL, seed INTEGER NOT NULL, state TEXT, diverged_at INTEGER, pruned_at INTEGER,
        train_loss REAL, validation_loss REAL, token_accuracy REAL, example_accuracy REAL, parameters INTEGER,
        memory_bytes INTEGER, seconds_per_step REAL, UNIQUE (method, init, rank, options, lr, seed))
        """,
        """
        CREATE TABLE rungs (run INTEGER NOT NULL REFERENCES runs, rung INTEGER NOT NULL, loss REAL,
        PRIMARY KEY (run, rung)) WITHOUT ROWID
        """,
        """
        CREATE TABLE steps (run INTEGER NOT NULL REFERENCES runs, step INTEGER NOT NULL, loss REAL, lr REAL,
        grad_norm REAL, validation_loss REAL, z_a REAL, z_b REAL, PRIMARY KEY (run, step)) WITHOUT ROWID
        """,
    ]

    // MARK: Runs

    /// Enters runs that are not there yet.
    package func add(_ points: [SweepPoint]) throws(FileError) {
        try database.transaction { () throws(FileError) in
            for point in points {
                try database.run(
                    "INSERT OR IGNORE INTO runs (method, init, rank, options, lr, seed) VALUES (?, ?, ?, ?, ?, ?)",
                    point.values)
            }
        }
    }

    /// The right to compute a run, as long as the claim lives; nil where it is done or another process has it.
    package func claim(_ point: SweepPoint) throws(FileError) -> Claim? {
        let identity = try id(of: point)
        guard try !isDone(identity), let claim = try claims.claim(identity) else { return nil }
        return try isDone(identity) ? nil : claim
    }

    package func isDone(_ point: SweepPoint) throws(FileError) -> Bool { try isDone(id(of: point)) }

    private func isDone(_ id: Int) throws(FileError) -> Bool {
        try database.run("SELECT state FROM runs WHERE id = ?", [.integer(id)]).first?.first?.string != nil
    }

    private func id(of point: SweepPoint) throws(FileError) -> Int {
        let rows = try database.run(
            "SELECT id FROM runs WHERE method = ? AND init = ? AND rank = ? AND options = ? AND lr = ? AND seed = ?",
            point.values)
        guard let id = rows.first?.first?.whole else {
            throw FileError(database.path, "lost the run \(point.series), seed \(point.seed)")
        }
        return id
    }

    /// Enters what a run found. Where no run before was better `keep` writes its adapter first, so that whatever is killed when,
    /// the folder of the best is that of the best run that is entered, or of one that will be computed again.
    package func save(_ result: SweepResult, keep: ((_ folder: String) throws -> Void)? = nil) throws {
        let turn = try claims.wait()
        if let keep, let loss = result.loss, loss.isFinite, try isBest(loss, id(of: result.point)) {
            let folder = try AtomicFolder(best)
            try keep(folder.temporary)
            try folder.commitReplacing()
        }
        try enter(result)
        withExtendedLifetime(turn) {}
    }

    /// Of equal losses the first run's is the best, whatever order they are computed in.
    private func isBest(_ loss: Double, _ id: Int) throws(FileError) -> Bool {
        let losses = try database.run(
            "SELECT id, coalesce(validation_loss, train_loss) FROM runs WHERE state = 'finished'")
        return losses.allSatisfy { row in
            guard let other = row[1].number, let otherId = row[0].whole else { return true }
            return (loss, id) <= (other, otherId)
        }
    }

    private func enter(_ result: SweepResult) throws(FileError) {
        let id = try id(of: result.point)
        try database.transaction { () throws(FileError) in
            try database.run(
                """
                UPDATE runs SET state = ?, diverged_at = ?, pruned_at = ?, train_loss = ?, validation_loss = ?,
                token_accuracy = ?, example_accuracy = ?, parameters = ?, memory_bytes = ?, seconds_per_step = ? WHERE id = ?
                """,
                [
                    .text(result.state), .init(result.divergedAt), .init(result.prunedAt),
                    .init(result.trainLoss), .init(result.validationLoss), .init(result.tokenAccuracy),
                    .init(result.exampleAccuracy), .integer(result.parameters), .integer(result.memory),
                    .real(result.secondsPerStep), .integer(id),
                ])
            for step in result.curve {
                try database.run(
                    "INSERT OR REPLACE INTO steps VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                    [
                        .integer(id), .integer(step.step), .real(step.loss), .real(step.learningRate),
                        .real(step.gradientNorm), .init(step.validationLoss), .init(step.zA), .init(step.zB),
                    ])
            }
        }
    }

    // MARK: Rungs

    /// The loss of a run at a rung of the pruning.
    package func note(_ loss: Double?, of point: SweepPoint, rung: Int) throws(FileError) {
        try database.run(
            "INSERT OR REPLACE INTO rungs VALUES (?, ?, ?)",
            [.integer(id(of: point)), .integer(rung), .init(loss)])
    }

    /// nil: it is not there yet. `.some(nil)`: it has no loss, since it diverged.
    package func loss(of point: SweepPoint, rung: Int) throws(FileError) -> Double?? {
        let id = try id(of: point)
        if let row = try database.run(
            "SELECT loss FROM rungs WHERE run = ? AND rung = ?", [.integer(id), .integer(rung)]
        ).first {
            return .some(row[0].number)
        }
        guard
            let row = try database.run(
                "SELECT state, coalesce(validation_loss, train_loss) FROM runs WHERE id = ?", [.integer(id)]
            ).first, let state = row[0].string
        else { return nil }
        return .some(state == "finished" ? row[1].number : nil)
    }

    // MARK: Results

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
            SELECT id, method, init, rank, options, lr, seed, diverged_at, train_loss, validation_loss, token_accuracy,
            example_accuracy, parameters, memory_bytes, seconds_per_step, pruned_at FROM runs WHERE state IS NOT NULL ORDER BY id
            """)
        return try rows.map { row throws(FileError) in
            guard let id = row[0].whole, let method = row[1].string, let initialization = row[2].string,
                let rank = row[3].whole, let options = row[4].string.flatMap(SweepPoint.settings),
                let rate = row[5].number, rate > 0, rate.isFinite,
                let seed = row[6].whole.flatMap({ UInt64(exactly: $0) })
            else { throw FileError(database.path, "has a run whose values are of the wrong kind") }
            var result = SweepResult(
                SweepPoint(
                    method: method, initialization: initialization, rank: rank, learningRate: rate,
                    seed: seed, others: options))
            (result.divergedAt, result.prunedAt) = (row[7].whole, row[15].whole)
            (result.trainLoss, result.validationLoss) = (row[8].number, row[9].number)
            (result.tokenAccuracy, result.exampleAccuracy) = (row[10].number, row[11].number)
            (result.parameters, result.memory) = (row[12].whole ?? 0, row[13].whole ?? 0)
            result.secondsPerStep = row[14].number ?? 0
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
    fileprivate var values: [Database.Value] {
        [
            .text(series.method), .text(series.initialization), .integer(series.rank),
            .text(optionsText), .real(learningRate), .integer(Int(clamping: seed)),
        ]
    }

    /// A JSON object of the options that are no columns.
    private var optionsText: String {
        var object = JSON.Object()
        for setting in series.others { object[setting.name] = .string(setting.value) }
        return JSON.object(object).text(.compact)
    }

    fileprivate static func settings(_ text: String) -> [Setting]? {
        guard case .object(let object) = try? JSON.parse(Array(text.utf8), path: "options") else {
            return nil
        }
        return object.members.compactMap { member in
            if case .string(let value) = member.value { Setting(member.key, value) } else { nil }
        }
    }
}
