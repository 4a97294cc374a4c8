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

    @Test(arguments: [ENOSPC, EIO, EROFS])
    func everyFaultLeavesWholeFiles(_ code: Int32) throws {
        try withTemporaryFolder { folder in
            try save(folder, 0.25)
            let counter = FileFaults(failing: .max)
            try FileFaults.$active.withValue(counter) { try save(folder, 0.25) }
            #expect(counter.counted > 8)
            for nth in 1...counter.counted {
                for onwards in [false, true] {
                    try save(folder, 0.25)
                    let faults = FileFaults(failing: nth, onwards: onwards, errno: code)
                    let text = FileFaults.$active.withValue(faults) { errorText { try save(folder, 0.5) } }
                    #expect(
                        text?.contains(String(cString: strerror(code))) == true,
                        "call \(nth) was not reported")
                    let names = try FileSystem.names(in: folder)
                    #expect(
                        names == ["adapter_config.json", "adapter_model.safetensors"], "after call \(nth)")
                    let module = try #require(try AdapterFiles(folder).modules.first)
                    let values = try module.loraA.floats()
                    #expect(values.allSatisfy { $0 == values[0] } && [0.25, 0.5].contains(values[0]))
                    #expect(try module.loraB.floats() == [values[0], values[0]])
                }
            }
        }
    }

    @Test func aMappedFileSurvivesItsReplacement() throws {
        try withTemporaryFolder { folder in
            let path = folder + "/x"
            try AtomicFile.write("old", to: path)
            let mapped = try MappedFile(path)
            try AtomicFile.write("new and longer", to: path)
            #expect(Array(mapped.bytes) == Array("old".utf8))
            #expect(try contents(path) == Array("new and longer".utf8))
            #expect(mapped.bytes(at: 1, count: 2) != nil && mapped.bytes(at: 3, count: 0) != nil)
            #expect(mapped.bytes(at: 2, count: 2) == nil && mapped.bytes(at: -1, count: 1) == nil)
            #expect(mapped.bytes(at: .max, count: .max) == nil)
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
            try put("half", at: folder + "/.x.1-1.partial")
            var lock: DirectoryLock? = try DirectoryLock(folder)
            #expect(try FileSystem.names(in: folder) == [".loravk.lock"])
            let text = errorText { _ = try DirectoryLock(folder) }
            #expect(text?.contains("another run (process \(getpid())) is writing into this folder") == true)
            #expect(lock != nil)
            lock = nil
            _ = try DirectoryLock(folder)
        }
    }
}
