// What a hostile folder may hold where this program writes or removes: links to files outside, FIFOs, folders, hard links.

import Checkpoints
import Foundation
import Glibc
import Testing

@Suite struct OwnFilesTests {
    private enum Trap: CaseIterable {
        case link, linkToNothing, linkToFolder, hardLink, fifo, folder

        func place(_ path: String, outside: String) -> Bool {
            switch self {
            case .link: symlink(outside + "/precious", path) == 0
            case .linkToNothing: symlink(outside + "/new", path) == 0
            case .linkToFolder: symlink(outside, path) == 0
            case .hardLink: Glibc.link(outside + "/precious", path) == 0
            case .fifo: mkfifo(path, 0o600) == 0
            case .folder: mkdir(path, 0o700) == 0
            }
        }

        var sentence: String {
            switch self {
            case .link, .linkToNothing, .linkToFolder: "is a link, and links are not written through"
            case .hardLink: "has 2 names (hard links), and all would be written"
            case .fifo, .folder: "is not a regular file"
            }
        }
    }

    /// Runs `body` with an empty folder, and one outside of it that must stay as it is.
    private func withFolders(_ body: (_ folder: String, _ outside: String) throws -> Void) throws {
        try withTemporaryFolder { parent in
            let (folder, outside) = (parent + "/out", parent + "/outside")
            try FileSystem.makeFolder(folder)
            try FileSystem.makeFolder(outside)
            try put("precious", at: outside + "/precious")
            try body(folder, outside)
            #expect(try FileSystem.names(in: outside) == ["precious"])
            #expect(try contents(outside + "/precious") == Array("precious".utf8))
        }
    }

    @Test(arguments: Trap.allCases) private func aLockIsNoTrap(_ trap: Trap) throws {
        try withFolders { folder, outside in
            let path = folder + "/.loravk.lock"
            #expect(trap.place(path, outside: outside))
            let text = errorText { _ = try DirectoryLock(folder) }
            #expect(text == "\(path): \(trap.sentence); remove it or choose another folder")
        }
    }

    @Test(arguments: Trap.allCases, [false, true])
    private func aLogIsNoTrap(_ trap: Trap, _ continues: Bool) throws {
        try withFolders { folder, outside in
            let path = folder + "/metrics.jsonl"
            #expect(trap.place(path, outside: outside))
            let text = errorText { try AppendingFile(path, continues: continues).append("x") }
            #expect(text == "\(path): \(trap.sentence); remove it or choose another folder")
        }
    }

    @Test func aLogBeginsAnewOrGoesOn() throws {
        try withTemporaryFolder { folder in
            let path = folder + "/log"
            try AppendingFile(path).append("old")
            try AppendingFile(path, continues: true).append("er")
            #expect(try contents(path) == Array("older".utf8))
            try AppendingFile(path).append("new")
            #expect(try contents(path) == Array("new".utf8))
        }
    }

    /// A file is replaced, and what a link led to is not.
    @Test(arguments: Trap.allCases) private func aSavedFileReplacesTheTrap(_ trap: Trap) throws {
        try withFolders { (folder: String, outside: String) throws in
            let path = folder + "/adapter_config.json"
            #expect(trap.place(path, outside: outside))
            let text = errorText { try AtomicFile.write("new", to: path) }
            #expect(text == (trap == .folder ? "\(path): cannot replace: Is a directory" : nil))
            if trap != .folder {
                #expect(try contents(path) == Array("new".utf8))
            }
            #expect(try FileSystem.names(in: folder) == ["adapter_config.json"])
        }
    }

    /// Links and files of other names are not leftovers; what a killed run left is removed, and nothing behind it.
    @Test func onlyLeftoversAreRemoved() throws {
        try withFolders { folder, outside in
            let parent = FileSystem.folder(of: folder)
            let own = [".out.notes.partial", ".out.1-.partial", ".out.1-G.partial", ".out.x.1-1.partial"]
            for name in own {
                try FileSystem.makeFolder("\(parent)/\(name)")
                try put("mine", at: "\(parent)/\(name)/file")
                try put("mine", at: "\(folder)/\(name)")
            }
            try put("mine", at: folder + "/.1-1.partial")
            #expect(symlink(outside, parent + "/.out.1-1.partial") == 0)
            #expect(symlink("..", parent + "/.out.2-2.partial") == 0)
            #expect(symlink(outside + "/precious", folder + "/.link.1-1.partial") == 0)
            #expect(mkfifo(folder + "/.fifo.1-1.partial", 0o600) == 0)

            let left = parent + "/.out.77-0123456789abcdef.partial"
            try FileSystem.makeFolder(left)
            try put("half", at: left + "/half")
            #expect(symlink(outside + "/precious", left + "/link") == 0)
            #expect(link(outside + "/precious", left + "/second name") == 0)
            try put("half", at: folder + "/.x.json.77-1f.partial")

            _ = try DirectoryLock(folder)
            #expect(!FileSystem.exists(left))
            // In the folder the last of `own` is a leftover of the file "out.x".
            let kept = [".1-1.partial", ".fifo.1-1.partial", ".link.1-1.partial", ".loravk.lock"]
            #expect(try FileSystem.names(in: folder) == (kept + own.dropLast()).sorted())
            for name in own { #expect(try FileSystem.names(in: "\(parent)/\(name)") == ["file"]) }
        }
    }

    /// A save that was killed while it changed places with the folder left the lock and the log under second names.
    @Test func aKilledExchangeIsNoHardLinkAttack() throws {
        try withTemporaryFolder { parent in
            let (folder, left) = (parent + "/out", parent + "/.out.9-9.partial")
            try FileSystem.makeFolder(folder)
            try FileSystem.makeFolder(left)
            for name in [".loravk.lock", "metrics.jsonl"] {
                try put("1", at: "\(folder)/\(name)")
                #expect(link("\(folder)/\(name)", "\(left)/\(name)") == 0)
            }
            let lock = try DirectoryLock(folder)
            try AppendingFile(folder + "/metrics.jsonl").append("new")
            #expect(try FileSystem.names(in: parent) == ["out"])
            withExtendedLifetime(lock) {}
        }
    }
}
