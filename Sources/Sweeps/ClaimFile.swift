// Which process computes which run: a lock on the run's byte of a file, which the system releases however the process ends.

import Checkpoints
import Glibc

final class ClaimFile: Sendable {
    fileprivate let path: String
    private static let turn = 0  // runs count from 1

    init(_ path: String) throws(FileError) {
        self.path = path
        close(try descriptor())
    }

    /// nil where another has it.
    func claim(_ run: Int) throws(FileError) -> Claim? { try lock(run, waits: false) }

    func wait() throws(FileError) -> Claim? { try lock(Self.turn, waits: true) }

    /// A lock belongs to an open file and ends with it, so each has its own.
    private func lock(_ byte: Int, waits: Bool) throws(FileError) -> Claim? {
        let claim = Claim(try descriptor())
        // F_OFD_SETLK and F_OFD_SETLKW, which need the descriptor's owner to be unnamed.
        let command: Int32 = waits ? 38 : 37
        var range = flock()
        (range.l_type, range.l_whence) = (Int16(F_WRLCK), Int16(SEEK_SET))
        (range.l_start, range.l_len) = (off_t(byte), 1)
        while fcntl(claim.descriptor, command, &range) != 0 {
            let code = errno
            if code == EINTR { continue }
            if code == EAGAIN || code == EACCES { return nil }
            throw FileError(path, "cannot be locked: \(String(cString: strerror(code)))")
        }
        return claim
    }

    private func descriptor() throws(FileError) -> Int32 { try FileSystem.openOwn(path, "open") }
}

/// Held as long as it lives.
package final class Claim: Sendable {
    fileprivate let descriptor: Int32

    fileprivate init(_ descriptor: Int32) { self.descriptor = descriptor }

    deinit { close(descriptor) }
}
