// Files that this program writes in place, and leftovers that it removes. A folder may come from others (a cloned repository,
// an unpacked archive), so nothing in it is written or removed through a link, and no special file is waited for.

import Glibc

extension FileSystem {
    /// Opens a file for reading and writing, makes it where it is missing, and truncates nothing. It must be a regular file of
    /// this user or of the folder's owner.
    package static func openOwn(
        _ path: String, _ action: String, flags: Int32 = 0
    ) throws(FileError) -> Int32 {
        let folder = try openFolder(folder(of: path))
        defer { close(folder) }
        let name = name(of: path)
        var status = stat()
        // A FIFO has no reader, a device may act on being opened.
        if fstatat(folder, name, &status, AT_SYMLINK_NOFOLLOW) == 0 {
            try requireOwn(status, in: folder, path)
        }
        let descriptor = try check(path, action, as: .open) {
            openat(folder, name, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | flags, 0o666)
        }
        do {
            try check(path, action) { fstat(descriptor, &status) }
            try requireOwn(status, in: folder, path)
            return descriptor
        } catch {
            close(descriptor)
            throw error
        }
    }

    /// Throws where an open file has further names: what is written into it would appear in them.
    package static func requireOneName(_ descriptor: Int32, _ path: String) throws(FileError) {
        var status = stat()
        try check(path, "read its size") { fstat(descriptor, &status) }
        try requireOneName(status, path)
    }

    /// Throws where there is something that is no regular file with one name.
    package static func requireOwnIfThere(_ path: String) throws(FileError) {
        let folder = try openFolder(folder(of: path))
        defer { close(folder) }
        var status = stat()
        guard fstatat(folder, name(of: path), &status, AT_SYMLINK_NOFOLLOW) == 0 else { return }
        try requireOwn(status, in: folder, path)
        try requireOneName(status, path)
    }

    private static func requireOneName(_ status: stat, _ path: String) throws(FileError) {
        guard status.st_nlink <= 1 else {
            throw FileError(
                path, "has \(status.st_nlink) names (hard links), and all would be written", remedy: elsewhere
            )
        }
    }

    private static func requireOwn(_ status: stat, in folder: Int32, _ path: String) throws(FileError) {
        switch status.st_mode & S_IFMT {
        case S_IFREG: break
        case S_IFLNK: throw FileError(path, "is a link, and links are not written through", remedy: elsewhere)
        default: throw FileError(path, "is not a regular file", remedy: elsewhere)
        }
        guard isOwn(status, in: folder) else {
            throw FileError(path, "belongs to another user", remedy: elsewhere)
        }
    }

    /// Of this user, or of the folder's owner: some file systems give every file one owner.
    private static func isOwn(_ status: stat, in folder: Int32) -> Bool {
        var parent = stat()
        return status.st_uid == geteuid() || (fstat(folder, &parent) == 0 && status.st_uid == parent.st_uid)
    }

    private static let elsewhere = "remove it or choose another folder"

    private static func openFolder(_ path: String) throws(FileError) -> Int32 {
        try check(path, "open the folder") { open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) }
    }

    /// Removes the regular files of a folder whose names are in the form of `temporaryName`.
    static func removeTemporaries(in path: String) throws(FileError) {
        let folder = try openFolder(path)
        defer { close(folder) }
        for name in try names(in: path) where isTemporary(name) {
            if isKind(S_IFREG, name, in: folder) {
                unlinkat(folder, name, 0)
            } else {
                removeFolder("\(path)/\(name)")
            }
        }
    }

    /// Removes a folder that is no link, and the files in it; folders inside stay, and so does it then.
    static func removeFolder(_ path: String) {
        guard let parent = try? openFolder(folder(of: path)) else { return }
        defer { close(parent) }
        let name = name(of: path)
        guard isKind(S_IFDIR, name, in: parent) else { return }
        let folder = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
        guard folder >= 0 else { return }
        defer { close(folder) }
        // The stream closes its descriptor.
        guard let stream = fdopendir(dup(folder)) else { return }
        for name in names(stream) { unlinkat(folder, name, 0) }
        unlinkat(parent, name, AT_REMOVEDIR)
    }

    /// Of that kind, not a link to one.
    private static func isKind(_ kind: mode_t, _ name: String, in folder: Int32) -> Bool {
        var status = stat()
        guard fstatat(folder, name, &status, AT_SYMLINK_NOFOLLOW) == 0 else { return false }
        return status.st_mode & S_IFMT == kind && isOwn(status, in: folder)
    }

    // MARK: Temporary names

    private static let suffix = ".partial"

    /// A name beside `path` that nobody else uses: `.NAME.PROCESS-RANDOM.partial`, the last in hexadecimal digits.
    static func temporaryPath(for path: String) -> String {
        let random = String(UInt64.random(in: .min ... .max), radix: 16)
        return "\(folder(of: path))/.\(name(of: path)).\(getpid())-\(random)\(suffix)"
    }

    /// Whether a name is in that form, for the file `target` or for any.
    static func isTemporary(_ name: String, for target: String? = nil) -> Bool {
        guard name.hasPrefix("."), name.hasSuffix(suffix) else { return false }
        let parts = name.dropFirst().dropLast(suffix.count).utf8
        guard let dot = parts.lastIndex(of: UInt8(ascii: ".")), dot > parts.startIndex else { return false }
        if let target, Array(parts[..<dot]) != Array(target.utf8) { return false }
        let numbers = parts[parts.index(after: dot)...].split(
            separator: UInt8(ascii: "-"), maxSplits: 1, omittingEmptySubsequences: false)
        return numbers.count == 2
            && numbers[0].isNumber(upTo: 10) { UInt8(ascii: "0")...UInt8(ascii: "9") ~= $0 }
            && numbers[1].isNumber(upTo: 16) {
                UInt8(ascii: "0")...UInt8(ascii: "9") ~= $0 || UInt8(ascii: "a")...UInt8(ascii: "f") ~= $0
            }
    }
}

extension Substring.UTF8View {
    fileprivate func isNumber(upTo digits: Int, _ isDigit: (UInt8) -> Bool) -> Bool {
        (1...digits).contains(count) && allSatisfy(isDigit)
    }
}
