// A file that is read piece by piece into memory of one's own, and never mapped: a mapped file that another program cuts ends
// the process. It stays what it was when another file is renamed over its path; one that changes in place is an error.

import Glibc

package final class InputFile: Sendable {
    package let path: String
    package let count: Int
    private let descriptor: Int32
    private let changed: timespec
    /// What was computed instead of read.
    private let memory: [UInt8]?

    /// What is read at once, in bytes: it stays in a core's cache.
    package static let window = 1 << 18

    package init(_ path: String) throws(FileError) {
        let descriptor = try FileSystem.check(path, "open", as: .open) {
            Glibc.open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        }
        var info = stat()
        do throws(FileError) {
            try FileSystem.check(path, "read its size") { fstat(descriptor, &info) }
            guard info.st_mode & S_IFMT == S_IFREG else {
                throw FileError(path, "is not a regular file", remedy: "name the file itself")
            }
        } catch {
            close(descriptor)
            throw error
        }
        (self.path, self.descriptor, changed) = (path, descriptor, info.st_mtim)
        count = Int(info.st_size)
        memory = nil
    }

    /// Bytes that were computed from a file.
    package init(computedFrom path: String, _ bytes: [UInt8]) {
        (self.path, descriptor, changed) = (path, -1, timespec())
        (count, memory) = (bytes.count, bytes)
    }

    deinit { if memory == nil { close(descriptor) } }

    package func contains(_ offset: Int, count: Int) -> Bool {
        offset >= 0 && count >= 0 && offset <= self.count && count <= self.count - offset
    }

    /// Fills memory with the bytes from `offset` on, which lie inside the file.
    package func read(at offset: Int, into target: UnsafeMutableRawBufferPointer) throws(FileError) {
        precondition(contains(offset, count: target.count), "\(target.count) bytes at \(offset) of \(count)")
        if let memory {
            memory.withUnsafeBytes {
                target.copyMemory(from: .init(rebasing: $0[offset..<offset + target.count]))
            }
            return
        }
        var done = 0
        while done < target.count {
            let part = UnsafeMutableRawBufferPointer(rebasing: target[done...])
            let read = try FileSystem.check(path, "read") {
                pread(descriptor, part.baseAddress, part.count, off_t(offset + done))
            }
            guard read > 0 else { break }
            done += read
        }
        var info = stat()
        try FileSystem.check(path, "read its size") { fstat(descriptor, &info) }
        let isSame =
            done == target.count && Int(info.st_size) == count && info.st_mtim.tv_sec == changed.tv_sec
            && info.st_mtim.tv_nsec == changed.tv_nsec
        guard isSame else {
            throw FileError(
                path, "changed after it was opened: it had \(count) bytes and has \(info.st_size)",
                remedy: "load it again, and replace files by renaming new ones over them")
        }
    }

    package func bytes(at offset: Int, count: Int) throws(FileError) -> [UInt8] {
        try Array(unsafeUninitializedCapacity: count) { (target, initialized) throws(FileError) in
            try read(at: offset, into: UnsafeMutableRawBufferPointer(start: target.baseAddress, count: count))
            initialized = count
        }
    }

    /// Hands a range to `body` in pieces of whole `units`, which need not divide a window.
    func eachPiece(
        of range: Range<Int>, unit: Int, _ body: (UnsafeRawBufferPointer) throws(FileError) -> Void
    ) throws(FileError) {
        let step = max(1, InputFile.window / max(1, unit)) * max(1, unit)
        let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: min(step, range.count), alignment: 16)
        defer { memory.deallocate() }
        for start in stride(from: range.lowerBound, to: range.upperBound, by: step) {
            let piece = UnsafeMutableRawBufferPointer(
                rebasing: memory[..<min(step, range.upperBound - start)])
            try read(at: start, into: piece)
            try body(UnsafeRawBufferPointer(piece))
        }
    }
}

/// The part of a file that is looked at, read in windows. What it hands out is valid until the next call.
package final class FileWindow {
    package let file: InputFile
    private var memory = UnsafeMutableRawBufferPointer.allocate(byteCount: 0, alignment: 16)
    private var range = 0..<0

    package init(_ file: InputFile) { self.file = file }

    deinit { memory.deallocate() }

    /// nil where the bytes do not lie inside the file.
    package func bytes(at offset: Int, count: Int) throws(FileError) -> UnsafeRawBufferPointer? {
        guard file.contains(offset, count: count) else { return nil }
        if offset < range.lowerBound || offset + count > range.upperBound {
            let size = min(max(count, InputFile.window), file.count - offset)
            if memory.count < size {
                memory.deallocate()
                memory = .allocate(byteCount: size, alignment: 16)
            }
            range = 0..<0
            try file.read(at: offset, into: .init(rebasing: memory[..<size]))
            range = offset..<offset + size
        }
        let start = offset - range.lowerBound
        return UnsafeRawBufferPointer(rebasing: memory[start..<start + count])
    }

    /// How many bytes there are from `offset` to the next line feed, or to the end of the file.
    package func lineLength(at offset: Int) throws(FileError) -> Int {
        var at = offset
        while at < file.count {
            let end = range.contains(at) ? range.upperBound : min(at + InputFile.window, file.count)
            guard let bytes = try bytes(at: at, count: end - at) else { break }
            if let feed = bytes.firstIndex(of: UInt8(ascii: "\n")) { return at + feed - offset }
            at = end
        }
        return at - offset
    }
}

extension FileSystem {
    /// The bytes of a small file.
    package static func contents(of path: String, limit: Int = .max) throws(FileError) -> [UInt8] {
        let file = try InputFile(path)
        guard file.count <= limit else {
            throw FileError(path, "has \(file.count) bytes, the limit is \(limit)")
        }
        return try file.bytes(at: 0, count: file.count)
    }

    /// nil where there is none.
    package static func contents(ofExisting path: String, limit: Int = .max) throws(FileError) -> [UInt8]? {
        exists(path) ? try contents(of: path, limit: limit) : nil
    }
}

extension JSON {
    /// Reads and parses a file.
    package static func read(_ path: String, limits: LoadLimits = .standard) throws(FileError) -> JSON {
        try parse(FileSystem.contents(of: path, limit: limits.jsonBytes), path: path, limits: limits)
    }
}
