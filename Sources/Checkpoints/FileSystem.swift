// The POSIX calls of this target: each repeats after EINTR, throws a sentence with the system's reason, and
// can be made to fail on its nth call, so that tests walk through every fault of a save.

import Glibc
import Synchronization

package enum FileOperation: String, Sendable {
    case open, write, fsync, rename
}

/// Makes file operations fail for whoever runs inside `FileFaults.$active.withValue(…)`.
package final class FileFaults: Sendable {
    @TaskLocal package static var active: FileFaults?

    private let operation: FileOperation?
    private let first: Int
    private let onwards: Bool
    private let code: Int32
    private let calls = Mutex(0)

    /// Fails the `nth` (from 1) call of `operation`, or of any operation where nil, and all later ones if
    /// `onwards`.
    package init(
        _ operation: FileOperation? = nil, failing nth: Int, onwards: Bool = false, errno code: Int32 = ENOSPC
    ) {
        self.operation = operation
        self.first = nth
        self.onwards = onwards
        self.code = code
    }

    /// How many calls were counted so far.
    package var counted: Int { calls.withLock { $0 } }

    fileprivate func failure(of operation: FileOperation) -> Int32? {
        if let wanted = self.operation, wanted != operation { return nil }
        let call = calls.withLock { count in
            count += 1
            return count
        }
        return call == first || (onwards && call > first) ? code : nil
    }
}

package enum FileSystem {
    /// Runs a call that returns a negative number on failure, and returns that where the reason is in `accepting`.
    @discardableResult
    static func check<Result: BinaryInteger>(
        _ path: String, _ action: String, as operation: FileOperation? = nil, accepting: Set<Int32> = [],
        _ call: () -> Result
    ) throws(FileError) -> Result {
        if let operation, let code = FileFaults.active?.failure(of: operation) {
            throw error(path, action, code)
        }
        while true {
            let result = call()
            if result >= 0 { return result }
            let code = errno
            if accepting.contains(code) { return result }
            if code != EINTR { throw error(path, action, code) }
        }
    }

    static func error(_ path: String, _ action: String, _ code: Int32) -> FileError {
        let remedy: String? =
            switch code {
            case ENOSPC, EDQUOT: "free some space or choose another folder"
            case EROFS, EACCES, EPERM: "check the permissions or choose another place"
            default: nil
            }
        var error = FileError(
            path, "cannot \(action): \(String(cString: strerror(code)))", remedy: remedy)
        error.systemErrno = code
        return error
    }

    package static func exists(_ path: String) -> Bool { access(path, F_OK) == 0 }

    package static func isFolder(_ path: String) -> Bool { kind(path) == S_IFDIR }

    package static func isFile(_ path: String) -> Bool { kind(path) == S_IFREG }

    private static func kind(_ path: String) -> mode_t? {
        var info = stat()
        return stat(path, &info) == 0 ? info.st_mode & S_IFMT : nil
    }

    /// Creates the folder and those above it where they are missing.
    package static func makeFolder(_ path: String) throws(FileError) {
        if isFolder(path) { return }
        let parent = folder(of: path)
        if parent != path, !exists(parent) { try makeFolder(parent) }
        if mkdir(path, 0o777) == 0 { return }
        let code = errno
        guard code == EEXIST, isFolder(path) else { throw error(path, "create the folder", code) }
    }

    /// Removes a file, if it is there.
    package static func remove(_ path: String) throws(FileError) {
        try check(path, "remove", as: .rename, accepting: [ENOENT]) { unlink(path) }
    }

    package static func names(in folder: String) throws(FileError) -> [String] {
        guard let stream = opendir(folder) else { throw error(folder, "list the folder", errno) }
        return names(stream)
    }

    /// Closes the stream.
    static func names(_ stream: OpaquePointer) -> [String] {
        defer { closedir(stream) }
        var names: [String] = []
        while let entry = readdir(stream) {
            // In place: an entry is shorter than its type, and what lies behind it is not ours.
            let name = withUnsafeMutablePointer(to: &entry.pointee.d_name) {
                String(cString: UnsafeRawPointer($0).assumingMemoryBound(to: CChar.self))
            }
            if name != "." && name != ".." { names.append(name) }
        }
        return names.sorted()
    }

    /// The folder of a path, "." where it names none.
    package static func folder(of path: String) -> String {
        var path = path[...]
        while path.count > 1, path.last == "/" { path.removeLast() }
        guard let slash = path.lastIndex(of: "/") else { return "." }
        return slash == path.startIndex ? "/" : String(path[..<slash])
    }

    package static func name(of path: String) -> String {
        String(path.split(separator: "/").last ?? "")
    }

    /// The path with every link followed, nil where it does not exist.
    package static func resolved(_ path: String) -> String? {
        guard let real = realpath(path, nil) else { return nil }
        defer { free(real) }
        return String(cString: real)
    }
}
