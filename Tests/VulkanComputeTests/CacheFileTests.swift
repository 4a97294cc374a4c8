// Files of the cache folder: whoever may write into it, no file elsewhere is touched, and nothing hangs.

import Foundation
import Glibc
import Testing
import VulkanCompute

@Suite struct CacheFileTests {
    private func withFolder(_ body: (String) throws -> Void) throws {
        let folder = FileManager.default.temporaryDirectory.path + "/loravk-cache-\(UUID().uuidString)"
        mkdir(folder, 0o700)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        try body(folder)
    }

    @Test func comesBackFromAFolderOfOnesOwn() throws {
        try withFolder { folder in
            let file = CacheFile("a.bin", in: folder + "/new/inner")
            #expect(file.read() == [] && file.write([1, 2, 3]) && file.read() == [1, 2, 3])
            #expect(file.write([4]) && file.read() == [4])
            let names = try FileManager.default.contentsOfDirectory(atPath: folder + "/new/inner")
            #expect(names == ["a.bin"])
        }
    }

    @Test(arguments: [0o777, 0o770, 0o1777] as [mode_t])
    func aFolderThatOthersMayWriteIntoIsNotUsed(_ mode: mode_t) throws {
        try withFolder { folder in
            let file = CacheFile("a.bin", in: folder)
            #expect(file.write([1]))
            chmod(folder, mode)
            #expect(file.read() == [] && !file.write([2]))
            chmod(folder, 0o700)
            #expect(file.read() == [1])
        }
    }

    @Test func linksPipesAndDevicesAreNotRead() throws {
        try withFolder { folder in
            let other = folder + "/other"
            #expect(FileManager.default.createFile(atPath: other, contents: Data([7])))
            let file = CacheFile("a.bin", in: folder)
            for make in [
                { symlink(other, folder + "/a.bin") }, { symlink("/dev/zero", folder + "/a.bin") },
                { mkfifo(folder + "/a.bin", 0o600) },
            ] {
                #expect(make() == 0 && file.read() == [])
                // A write puts a file there, and what the link named stays.
                #expect(file.write([1]) && file.read() == [1])
                #expect(FileManager.default.contents(atPath: other) == Data([7]))
                unlink(folder + "/a.bin")
            }
        }
    }

    @Test func aHugeFileIsNotRead() throws {
        try withFolder { folder in
            let file = CacheFile("a.bin", in: folder)
            #expect(file.write([1]) && truncate(folder + "/a.bin", 1 << 40) == 0 && file.read() == [])
        }
    }
}
