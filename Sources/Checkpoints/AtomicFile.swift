// A file that appears whole or not at all: written under a temporary name in the same folder, fsynced,
// renamed over the old one, and the folder fsynced. Dropping it before `commit` removes the temporary and
// leaves the old file.

import Glibc

package final class AtomicFile {
    package let path: String
    package private(set) var count = 0
    /// Where the bytes are until then.
    package let temporary: String
    private var descriptor: Int32
    private var buffer: [UInt8] = []
    private var isCommitted = false

    private static let bufferBytes = 1 << 18

    package init(_ path: String) throws(FileError) {
        let temporary = FileSystem.temporaryPath(for: path)
        self.path = path
        self.temporary = temporary
        descriptor = -1
        descriptor = try FileSystem.check(path, "create", as: .open) {
            Glibc.open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0o666)
        }
    }

    deinit {
        if descriptor >= 0 { close(descriptor) }
        if !isCommitted { unlink(temporary) }
    }

    package func write(_ bytes: UnsafeRawBufferPointer) throws(FileError) {
        if buffer.count + bytes.count > AtomicFile.bufferBytes { try flush() }
        if bytes.count > AtomicFile.bufferBytes {
            try writeThrough(bytes)
        } else {
            buffer.append(contentsOf: bytes)
        }
        count += bytes.count
    }

    package func write(_ text: String) throws(FileError) { try write(Array(text.utf8)) }

    package func write(_ bytes: [UInt8]) throws(FileError) {
        try bytes.withUnsafeBufferPointer { (bytes) throws(FileError) in
            try write(UnsafeRawBufferPointer(bytes))
        }
    }

    /// Everything written is on the disk under the temporary name. Call it on all files of a set before
    /// `commit`.
    package func finish() throws(FileError) {
        guard descriptor >= 0 else { return }
        try flush()
        try FileSystem.check(path, "write to the disk", as: .fsync) { fsync(descriptor) }
        let closed = descriptor
        descriptor = -1
        // After EINTR the descriptor is closed all the same, so close is never repeated.
        if close(closed) != 0, errno != EINTR { throw FileSystem.error(path, "write", errno) }
    }

    /// Replaces the old file.
    package func commit() throws(FileError) {
        try finish()
        try FileSystem.check(path, "replace", as: .rename) { rename(temporary, path) }
        isCommitted = true
        try AtomicFile.syncFolder(FileSystem.folder(of: path))
    }

    /// Writes one file.
    package static func write(_ bytes: [UInt8], to path: String) throws(FileError) {
        let file = try AtomicFile(path)
        try file.write(bytes)
        try file.commit()
    }

    package static func write(_ text: String, to path: String) throws(FileError) {
        try write(Array(text.utf8), to: path)
    }

    /// Replaces several files after all of them are on the disk: only a kill between two renames parts them.
    package static func commit(_ files: [AtomicFile]) throws(FileError) {
        for file in files { try file.finish() }
        for file in files { try file.commit() }
    }

    /// Makes the names in a folder durable.
    package static func syncFolder(_ folder: String) throws(FileError) {
        let descriptor = try FileSystem.check(folder, "open the folder", as: .open) {
            Glibc.open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        }
        defer { close(descriptor) }
        try FileSystem.check(folder, "write the folder to the disk", as: .fsync) { fsync(descriptor) }
    }

    /// Removes temporaries that a killed run left in a folder and beside it; only for who holds the folder's lock.
    package static func removeLeftovers(in folder: String) throws(FileError) {
        try FileSystem.removeTemporaries(in: folder)
        guard let folder = FileSystem.resolved(folder) else { return }
        let (parent, name) = (FileSystem.folder(of: folder), FileSystem.name(of: folder))
        // A parent that cannot be listed cannot be written to either.
        for found in (try? FileSystem.names(in: parent)) ?? [] where FileSystem.isTemporary(found, for: name)
        {
            FileSystem.removeFolder("\(parent)/\(found)")
        }
    }

    private func flush() throws(FileError) {
        let pending = buffer
        buffer.removeAll(keepingCapacity: true)
        try pending.withUnsafeBufferPointer { (bytes) throws(FileError) in
            try writeThrough(UnsafeRawBufferPointer(bytes))
        }
    }

    private func writeThrough(_ bytes: UnsafeRawBufferPointer) throws(FileError) {
        var rest = bytes[...]
        while !rest.isEmpty {
            let chunk = UnsafeRawBufferPointer(rebasing: rest)
            let written = try FileSystem.check(path, "write", as: .write) {
                Glibc.write(descriptor, chunk.baseAddress, chunk.count)
            }
            rest = rest.dropFirst(written)
        }
    }
}
