// A file of the cache folder. It may be missing, damaged or impossible to write: that only costs time.

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

struct CacheFile {
    let folder: String
    let path: String

    init(_ name: String, in folder: String) {
        self.folder = folder
        path = "\(folder)/\(name)"
    }

    func read() -> [UInt8] {
        guard let file = fopen(path, "rb") else { return [] }
        defer { fclose(file) }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 1 << 16)
        while case let count = fread(&chunk, 1, chunk.count, file), count > 0 { bytes += chunk[..<count] }
        return bytes
    }

    /// Whether it was written.
    @discardableResult
    func write(_ bytes: [UInt8]) -> Bool {
        makeFolders()
        let temporary = "\(path).\(getpid())"
        guard let file = fopen(temporary, "wb") else { return noteFailure() }
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
