// A file that grows line by line, each written at once: a log of a run, not a result that must be whole.

import Glibc

package final class AppendingFile {
    package let path: String
    private let descriptor: Int32

    /// Begins the file anew, or goes on behind what is there.
    package init(_ path: String, continues: Bool = false) throws(FileError) {
        self.path = path
        descriptor = try FileSystem.openOwn(path, "create", flags: O_APPEND)
        try FileSystem.requireOneName(descriptor, path)
        if !continues {
            try FileSystem.check(path, "empty", as: .write) { ftruncate(descriptor, 0) }
        }
    }

    deinit { close(descriptor) }

    package func append(_ text: String) throws(FileError) { try append(Array(text.utf8)) }

    package func append(_ bytes: [UInt8]) throws(FileError) {
        var rest = bytes[...]
        while !rest.isEmpty {
            let written = try FileSystem.check(path, "write", as: .write) {
                rest.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
            }
            rest = rest.dropFirst(written)
        }
    }
}
