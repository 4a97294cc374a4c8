// Files that others replace, cut or write into while they are open.

import Checkpoints
import Foundation
import Glibc
import Testing

@Suite struct InputFileTests {
    @Test func anOpenFileSurvivesItsReplacement() throws {
        try withTemporaryFolder { folder in
            let path = folder + "/x"
            try AtomicFile.write("old", to: path)
            let file = try InputFile(path)
            try AtomicFile.write("new and longer", to: path)
            #expect(try file.bytes(at: 0, count: 3) == Array("old".utf8))
            #expect(try contents(path) == Array("new and longer".utf8))
            #expect(file.contains(1, count: 2) && file.contains(3, count: 0))
            #expect(!file.contains(2, count: 2) && !file.contains(-1, count: 1))
            #expect(!file.contains(.max, count: .max))
            #expect(try FileWindow(file).bytes(at: 2, count: 2) == nil)
        }
    }

    private enum Change: CaseIterable {
        case cut, emptied, grown, overwritten

        func apply(to path: String) throws {
            switch self {
            case .cut: #expect(truncate(path, off_t(try contents(path).count / 2)) == 0)
            case .emptied: #expect(truncate(path, 0) == 0)
            case .grown: #expect(truncate(path, off_t(try contents(path).count + 1)) == 0)
            case .overwritten:
                let handle = try #require(FileHandle(forWritingAtPath: path))
                try handle.write(contentsOf: [1, 2, 3])
                try handle.close()
                // Clocks of file systems are coarse; a person is slower.
                var times = [timespec(tv_sec: 1, tv_nsec: 0), timespec(tv_sec: 1, tv_nsec: 0)]
                #expect(utimensat(AT_FDCWD, path, &times, 0) == 0)
            }
        }
    }

    /// Every way to read a tensor, after the file changed in place: a sentence, where a map would end the process.
    @Test(arguments: Change.allCases, ["quants.gguf", "quants.safetensors"])
    private func aChangedFileIsASentence(_ change: Change, _ name: String) throws {
        try withTemporaryFolder { folder in
            let path = folder + "/" + name
            try copy(fixture(name), to: path)
            let tensors =
                try name.hasSuffix(".gguf") ? GGUFFile(path).tensors : SafetensorsFile(path).tensors
            let tensor = try #require(tensors.last { $0.type.isWritable })
            let before = try tensor.floats()
            #expect(try tensor.storedBytes() == tensor.bytes(rows: 0..<tensor.rows))
            #expect(!before.isEmpty)
            try change.apply(to: path)
            let ways: [() throws -> Void] = [
                { _ = try tensor.floats() }, { _ = try tensor.storedBytes() },
                { _ = try tensor.bytes(rows: 0..<1) }, { _ = try tensor.fileBytes(rows: 0..<1) },
                { try SafetensorsWriter.write([TensorSource("x", shape: [1], [1])], to: folder + "/out") },
                { try tensor.eachPiece { (_) throws(FileError) in } },
            ]
            for (index, way) in ways.enumerated() {
                let text = errorText(way)
                #expect((text?.hasPrefix("\(path): changed after it was opened: ") ?? false) == (index != 4))
            }
        }
    }

    @Test func linesAreFoundInWindows() throws {
        try withTemporaryFolder { folder in
            let path = folder + "/lines"
            let lengths = [
                0, 5, InputFile.window - 1, 3, InputFile.window * 3 + 7, 0, 1, InputFile.window, 9,
            ]
            var text: [UInt8] = []
            for (index, length) in lengths.enumerated() {
                text +=
                    [UInt8](repeating: UInt8(ascii: "a") + UInt8(index), count: length) + [UInt8(ascii: "\n")]
            }
            try put(text.dropLast(), at: path)
            let window = FileWindow(try InputFile(path))
            var at = 0
            for (index, length) in lengths.enumerated() {
                #expect(try window.lineLength(at: at) == length)
                let line = try #require(try window.bytes(at: at, count: length))
                #expect(line.count == length && line.allSatisfy { $0 == UInt8(ascii: "a") + UInt8(index) })
                at += length + 1
            }
            #expect(at == window.file.count + 1)
        }
    }

    @Test func whatIsNoFileIsNotRead() throws {
        try withTemporaryFolder { folder in
            #expect(mkfifo(folder + "/fifo", 0o600) == 0)
            for path in [folder, folder + "/fifo", "/dev/zero"] {
                #expect(errorText { _ = try InputFile(path) }?.contains("is not a regular file") == true)
            }
            try put("12345", at: folder + "/five")
            #expect(
                errorText { _ = try FileSystem.contents(of: folder + "/five", limit: 4) }
                    == "\(folder)/five: has 5 bytes, the limit is 4")
        }
    }
}
