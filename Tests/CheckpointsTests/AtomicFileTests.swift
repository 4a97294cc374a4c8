// Files appear whole or not at all, whatever call fails; one run per folder.

import Checkpoints
import Foundation
import Glibc
import Testing

@Suite struct AtomicFileTests {
    private func save(_ folder: String, _ value: Float) throws {
        var config = PEFTConfig(rank: 1, alpha: 1, targetModules: .names(["q_proj"]))
        config.dropout = Double(value)
        let big = [Float](repeating: value, count: 100_000)
        let module = "model.layers.0.self_attn.q_proj"
        try AdapterFiles.write(
            config,
            [
                TensorSource(AdapterFiles.key(module, .loraA), shape: [1, 100_000], big),
                TensorSource(AdapterFiles.key(module, .loraB), shape: [2, 1], [value, value]),
            ], to: folder)
    }

    /// The value of the adapter that is in the folder, whose parts must belong together.
    private func saved(_ folder: String) throws -> Float {
        let files = try AdapterFiles(folder)
        let module = try #require(files.modules.first)
        let values = try module.loraA.floats()
        #expect(values.allSatisfy { $0 == values[0] } && [0.25, 0.5].contains(values[0]))
        #expect(try module.loraB.floats() == [values[0], values[0]])
        #expect(Float(files.config.dropout) == values[0], "weights of one save beside the config of another")
        return values[0]
    }

    @Test(arguments: [ENOSPC, EIO, EROFS])
    func everyFaultLeavesWholeFiles(_ code: Int32) throws {
        try withTemporaryFolder { parent in
            let folder = parent + "/adapter"
            try save(folder, 0.25)
            try put("log", at: folder + "/metrics.jsonl")
            try FileSystem.makeFolder(folder + "/checkpoints/1")
            let all = ["adapter_config.json", "adapter_model.safetensors", "checkpoints", "metrics.jsonl"]
            for value: Float in [0.25, 0.5] {  // the same config again, and another
                try save(folder, 0.25)
                let counter = FileFaults(failing: .max)
                try FileFaults.$active.withValue(counter) { try save(folder, value) }
                #expect(try saved(folder) == value)
                #expect(counter.counted > 5)
                for (nth, onwards) in (1...counter.counted).flatMap({ [($0, false), ($0, true)] }) {
                    try save(folder, 0.25)
                    let faults = FileFaults(failing: nth, onwards: onwards, errno: code)
                    let text = FileFaults.$active.withValue(faults) { errorText { try save(folder, value) } }
                    #expect(
                        text?.contains(String(cString: strerror(code))) == true,
                        "call \(nth) was not reported")
                    _ = try saved(folder)
                    // A fault of the move of the folder, when the new adapter is in its place, leaves that beside.
                    for name in try FileSystem.names(in: parent) where name != "adapter" {
                        #expect(try saved(folder) == 0.5)
                        #expect(try FileSystem.names(in: parent + "/" + name) == ["checkpoints"])
                        #expect(rename(parent + "/\(name)/checkpoints", folder + "/checkpoints") == 0)
                        #expect(rmdir(parent + "/" + name) == 0)
                    }
                    #expect(try FileSystem.names(in: folder) == all, "after call \(nth)")
                }
            }
            #expect(try contents(folder + "/metrics.jsonl") == Array("log".utf8))
            #expect(FileSystem.isFolder(folder + "/checkpoints/1"))
        }
    }

    /// A run that overwrites an adapter of another config keeps its lock and goes on writing its log.
    @Test func anExchangedFolderKeepsItsLockAndOpenFiles() throws {
        try withTemporaryFolder { parent in
            let folder = parent + "/adapter"
            try save(folder, 0.25)
            let lock = try DirectoryLock(folder)
            let log = try AppendingFile(folder + "/metrics.jsonl")
            try log.append("a")
            #expect(symlink(folder, parent + "/link") == 0)
            try save(parent + "/link", 0.5)
            try log.append("b")
            #expect(try saved(folder) == 0.5 && saved(parent + "/link") == 0.5)
            #expect(try contents(folder + "/metrics.jsonl") == Array("ab".utf8))
            #expect(errorText { _ = try DirectoryLock(folder) }?.contains("another run") == true)
            withExtendedLifetime(lock) {}
        }
    }

    @Test func aFileThatIsDroppedLeavesNothing() throws {
        try withTemporaryFolder { folder in
            do {
                let file = try AtomicFile(folder + "/x")
                try file.write([UInt8](repeating: 1, count: 1_000_000))
                #expect(file.count == 1_000_000)
                #expect(try FileSystem.names(in: folder).count == 1)
            }
            #expect(try FileSystem.names(in: folder).isEmpty)
            let text = errorText { _ = try AtomicFile(folder + "/none/x") }
            #expect(text == "\(folder)/none/x: cannot create: No such file or directory")
        }
    }

    @Test func oneRunPerFolder() throws {
        try withTemporaryFolder { folder in
            let beside = "\(FileSystem.folder(of: folder))/.\(FileSystem.name(of: folder)).1-1.partial"
            try FileSystem.makeFolder(beside)
            try put("half", at: beside + "/adapter_config.json")
            try put("half", at: folder + "/.x.1-1.partial")
            var lock: DirectoryLock? = try DirectoryLock(folder)
            #expect(try FileSystem.names(in: folder) == [".loravk.lock"])
            #expect(!FileSystem.exists(beside))
            let text = errorText { _ = try DirectoryLock(folder) }
            #expect(text?.contains("another run (process \(getpid())) is writing into this folder") == true)
            #expect(lock != nil)
            lock = nil
            _ = try DirectoryLock(folder)
        }
    }
}
