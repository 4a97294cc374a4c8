// A SQLite database: statements with values, and every failure as a sentence that names the file.

import CSQLite
import Checkpoints

/// Not thread-safe; any number of processes may have the same file open.
final class Database {
    enum Value: Sendable, Equatable {
        case null
        case integer(Int)
        case real(Double)
        case text(String)

        init(_ value: Double?) { self = value.map(Value.real) ?? .null }
        init(_ value: Int?) { self = value.map(Value.integer) ?? .null }
    }

    let path: String
    private var handle: OpaquePointer?

    /// Others that write are waited for this long.
    private static let patience: Int32 = 30_000  // ms

    init(_ path: String) throws(FileError) {
        self.path = path
        // No part of the name that SQLite gets may be a link; that of the folder is the user's.
        let folder = FileSystem.folder(of: path)
        let real = "\(FileSystem.resolved(folder) ?? folder)/\(FileSystem.name(of: path))"
        for suffix in ["", Self.journal, "-wal", "-shm"] {
            try FileSystem.requireOwnIfThere(real + suffix)
        }
        try Self.requirePlainJournal(real + Self.journal)
        let flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOFOLLOW
        try check(sqlite3_open_v2(real, &handle, flags, nil), "open")
        sqlite3_busy_timeout(handle, Self.patience)
        try run("PRAGMA trusted_schema = OFF")
    }

    /// Throws where the schema has more than `tables`: a view or a trigger of others would run with every statement.
    func requireSchema(_ tables: [String]) throws(FileError) {
        for row in try run("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL") {
            guard let sql = row[0].string, tables.contains(sql) else {
                throw FileError(
                    path, "was not made by this program: it has '\((row[0].string ?? "").shortened)'",
                    remedy: "choose another folder")
            }
        }
    }

    private static let journal = "-journal"

    /// A journal that names another one makes SQLite remove that file, whatever it is; this program writes none.
    private static func requirePlainJournal(_ path: String) throws(FileError) {
        let magic: [UInt8] = [0xD9, 0xD5, 0x05, 0xF9, 0x20, 0xA1, 0x63, 0xD7]
        guard let bytes = try FileSystem.contents(ofExisting: path), bytes.suffix(magic.count) == magic[...]
        else { return }
        throw FileError(
            path, "names a further journal, so it is not of this program",
            remedy: "move it away, or choose another folder")
    }

    deinit { sqlite3_close_v2(handle) }

    /// Runs a statement and returns its rows.
    @discardableResult
    func run(_ sql: String, _ values: [Value] = []) throws(FileError) -> [[Value]] {
        var statement: OpaquePointer?
        try check(sqlite3_prepare_v2(handle, sql, -1, &statement, nil), "read")
        defer { sqlite3_finalize(statement) }
        for (index, value) in values.enumerated() { try bind(value, Int32(index + 1), statement) }
        var rows: [[Value]] = []
        while true {
            let status = sqlite3_step(statement)
            if status == SQLITE_DONE { return rows }
            guard status == SQLITE_ROW else {
                try check(status, "use")
                return rows
            }
            rows.append((0..<sqlite3_column_count(statement)).map { Self.column($0, statement) })
        }
    }

    /// All of `body` is in the file, or nothing.
    func transaction(_ body: () throws(FileError) -> Void) throws(FileError) {
        try run("BEGIN IMMEDIATE")
        do {
            try body()
            try run("COMMIT")
        } catch {
            _ = try? run("ROLLBACK")
            throw error
        }
    }

    private func bind(_ value: Value, _ index: Int32, _ statement: OpaquePointer?) throws(FileError) {
        let status =
            switch value {
            case .null: sqlite3_bind_null(statement, index)
            case .integer(let number): sqlite3_bind_int64(statement, index, Int64(number))
            case .real(let number): sqlite3_bind_double(statement, index, number)
            // SQLite copies what is TRANSIENT (−1).
            case .text(let text):
                sqlite3_bind_text(
                    statement, index, text, -1, unsafeBitCast(-1, to: sqlite3_destructor_type.self))
            }
        try check(status, "write")
    }

    private static func column(_ index: Int32, _ statement: OpaquePointer?) -> Value {
        switch sqlite3_column_type(statement, index) {
        case SQLITE_INTEGER: .integer(Int(sqlite3_column_int64(statement, index)))
        case SQLITE_FLOAT: .real(sqlite3_column_double(statement, index))
        case SQLITE_NULL: .null
        default: .text(sqlite3_column_text(statement, index).map { String(cString: $0) } ?? "")
        }
    }

    private func check(_ status: Int32, _ action: String) throws(FileError) {
        guard status != SQLITE_OK else { return }
        let reason = handle.map { String(cString: sqlite3_errmsg($0)) } ?? "out of memory"
        let remedy: String? =
            switch status & 0xFF {
            case SQLITE_NOTADB, SQLITE_CORRUPT: "move it away to begin the sweep again, or restore a copy"
            case SQLITE_FULL: "free some space"
            case SQLITE_READONLY, SQLITE_PERM, SQLITE_CANTOPEN:
                "check the permissions or choose another folder"
            case SQLITE_BUSY: "another process holds it; wait for that or end it"
            default: nil
            }
        throw FileError(path, "cannot \(action) the database: \(reason)", remedy: remedy)
    }
}

extension Database.Value {
    var number: Double? {
        switch self {
        case .real(let value): value
        case .integer(let value): Double(value)
        default: nil
        }
    }

    var whole: Int? { if case .integer(let value) = self { value } else { nil } }
    var string: String? { if case .text(let value) = self { value } else { nil } }
}
