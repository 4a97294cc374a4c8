// A whole file mapped read-only into memory. Nothing of it is read before it is touched, and it stays valid
// when another file is renamed over its path.

import Glibc

package final class MappedFile: Sendable {
    package let path: String
    package let count: Int
    // Mapped once, never written: safe to share between threads.
    private nonisolated(unsafe) let start: UnsafeRawPointer?

    package init(_ path: String) throws(FileError) {
        let descriptor = try FileSystem.check(path, "open", as: .open) {
            Glibc.open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        }
        defer { close(descriptor) }
        var info = stat()
        try FileSystem.check(path, "read its size") { fstat(descriptor, &info) }
        guard info.st_mode & S_IFMT == S_IFREG else {
            throw FileError(path, "is not a regular file", remedy: "name the file itself")
        }
        guard let count = Int(exactly: info.st_size) else {
            throw FileError(path, "has \(info.st_size) bytes, more than this machine can address")
        }
        self.path = path
        self.count = count
        if count == 0 {
            start = nil
        } else {
            let address = mmap(nil, count, PROT_READ, MAP_PRIVATE, descriptor, 0)
            guard let address, address != MAP_FAILED else { throw FileSystem.error(path, "map", errno) }
            start = UnsafeRawPointer(address)
        }
    }

    deinit {
        if let start { munmap(UnsafeMutableRawPointer(mutating: start), count) }
    }

    /// Valid as long as this object lives.
    package var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: start, count: count) }

    /// The bytes of a range, nil where it does not lie inside the file.
    package func bytes(at offset: Int, count: Int) -> UnsafeRawBufferPointer? {
        guard offset >= 0, count >= 0, offset <= self.count, count <= self.count - offset else { return nil }
        return UnsafeRawBufferPointer(rebasing: bytes[offset..<offset + count])
    }

    /// Gives the memory of a range back to the system, which reads the file again should the range be touched again.
    func forget(_ range: Range<Int>) {
        guard let start else { return }
        let page = Int(sysconf(Int32(_SC_PAGESIZE)))
        let (from, to) = ((range.lowerBound + page - 1) / page * page, range.upperBound / page * page)
        guard from < to else { return }
        madvise(UnsafeMutableRawPointer(mutating: start + from), to - from, MADV_DONTNEED)
    }
}

extension FileSystem {
    /// The bytes of a small file, nil where there is none.
    package static func contents(ofExisting path: String) throws(FileError) -> [UInt8]? {
        guard exists(path) else { return nil }
        let file = try MappedFile(path)
        defer { withExtendedLifetime(file) {} }
        return Array(file.bytes)
    }
}

extension JSON {
    /// Reads and parses a file.
    package static func read(_ path: String, limits: LoadLimits = .standard) throws(FileError) -> JSON {
        let file = try MappedFile(path)
        defer { withExtendedLifetime(file) {} }
        return try parse(file.bytes, path: path, limits: limits)
    }
}
