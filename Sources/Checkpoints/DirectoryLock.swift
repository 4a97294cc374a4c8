// One run per output folder: an flock on a file inside it, released by the system however the process ends.

import Glibc

package final class DirectoryLock: Sendable {
    package let folder: String
    private let descriptor: Int32
    private static let name = ".loravk.lock"

    /// Locks the folder and removes what a killed run left half-written there.
    package init(_ folder: String) throws(FileError) {
        let path = "\(folder)/\(Self.name)"
        descriptor = try FileSystem.openOwn(path, "create the lock")
        self.folder = folder  // complete: a throw from here on runs deinit
        while flock(descriptor, LOCK_EX | LOCK_NB) != 0 {
            let code = errno
            if code == EINTR { continue }
            guard code == EWOULDBLOCK else { throw FileSystem.error(path, "lock", code) }
            throw FileError(
                folder,
                "another run (process \(DirectoryLock.owner(descriptor))) is writing into this folder",
                remedy: "wait for it or choose another folder")
        }
        // A save that was killed while it exchanged the folder left a second name of the lock, so leftovers go first.
        try AtomicFile.removeLeftovers(in: folder)
        try FileSystem.requireOneName(descriptor, path)
        try record(path)
    }

    deinit { close(descriptor) }

    /// The lock is still what its name in the folder means: nobody removed the one or the other.
    package var isInPlace: Bool {
        var (held, named) = (stat(), stat())
        return fstat(descriptor, &held) == 0 && lstat("\(folder)/\(Self.name)", &named) == 0
            && held.st_dev == named.st_dev && held.st_ino == named.st_ino
    }

    private func record(_ path: String) throws(FileError) {
        let owner = Array("\(getpid())\n".utf8)
        try FileSystem.check(path, "write the lock", as: .write) { ftruncate(descriptor, 0) }
        try FileSystem.check(path, "write the lock", as: .write) { pwrite(descriptor, owner, owner.count, 0) }
    }

    private static func owner(_ descriptor: Int32) -> String {
        var text = [UInt8](repeating: 0, count: 20)
        let count = pread(descriptor, &text, text.count, 0)
        let digits = text.prefix(max(count, 0)).prefix { UInt8(ascii: "0")...UInt8(ascii: "9") ~= $0 }
        return digits.isEmpty ? "unknown" : String(decoding: digits, as: UTF8.self)
    }
}
