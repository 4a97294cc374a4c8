// A file of the cache folder. It may be missing, damaged or impossible to write: that only costs time. What it holds goes to
// the driver, so a folder that is another user's, or that others may write into, is not used.

import Synchronization

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

package struct CacheFile {
    private static let maximumBytes = 64 << 20
    private static let refused = Mutex<Set<String>>([])

    let folder: String
    let path: String

    package init(_ name: String, in folder: String) {
        self.folder = folder
        path = "\(folder)/\(name)"
    }

    package func read() -> [UInt8] {
        guard isFolderOurs else { return [] }
        let descriptor = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)
        guard descriptor >= 0 else { return [] }
        defer { close(descriptor) }
        var info = stat()
        guard fstat(descriptor, &info) == 0, info.st_mode & S_IFMT == S_IFREG, info.st_uid == geteuid(),
            0...off_t(Self.maximumBytes) ~= info.st_size
        else { return [] }
        let count = Int(info.st_size)
        return [UInt8](unsafeUninitializedCapacity: count) { bytes, done in
            while done < count {
                let read = pread(descriptor, bytes.baseAddress.map { $0 + done }, count - done, off_t(done))
                if read < 0, errno == EINTR { continue }
                guard read > 0 else { break }
                done += read
            }
        }
    }

    /// Whether it was written.
    @discardableResult
    package func write(_ bytes: [UInt8]) -> Bool {
        makeFolders()
        guard isFolderOurs, bytes.count <= Self.maximumBytes else { return noteFailure() }
        // A new file under a name that nobody can foresee.
        var temporary = Array("\(path).XXXXXX".utf8CString)
        let descriptor = mkstemp(&temporary)
        guard descriptor >= 0, let file = fdopen(descriptor, "wb") else { return noteFailure() }
        let written = fwrite(bytes, 1, bytes.count, file) == bytes.count
        guard fclose(file) == 0, written, rename(temporary, path) == 0 else {
            unlink(temporary)
            return noteFailure()
        }
        return true
    }

    /// Whether it is gone.
    @discardableResult
    func remove() -> Bool { unlink(path) == 0 || errno == ENOENT }

    /// Said once for each folder.
    private var isFolderOurs: Bool {
        var info = stat()
        guard stat(folder, &info) == 0, info.st_mode & S_IFMT == S_IFDIR else { return false }
        if info.st_uid == geteuid(), info.st_mode & 0o022 == 0 { return true }
        if Self.refused.withLock({ $0.insert(folder).inserted }) {
            log.warning(
                "\(folder) belongs to another user, or others may write into it: nothing is cached there; chmod go-w it"
            )
        }
        return false
    }

    private func noteFailure() -> Bool {
        log.debug("\(path) could not be written")
        return false
    }

    private func makeFolders() {
        var built = folder.hasPrefix("/") ? "" : "."
        for part in folder.split(separator: "/") {
            built += "/" + part
            mkdir(built, 0o755)
        }
    }
}
