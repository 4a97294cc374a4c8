// A folder that appears whole or not at all: filled under a temporary name beside its place, then renamed there, or
// exchanged with the folder that is there. Dropping it before that removes the temporary.

import CLinux
import Glibc

package final class AtomicFolder {
    package let path: String
    /// Where the files go until the folder is in its place.
    package let temporary: String
    private var isInPlace = false

    /// What a system call says where a folder cannot be exchanged: the file system, a mount point, a parent that is
    /// read-only.
    private static let refusals: Set<Int32> = [
        EACCES, EBUSY, EINVAL, EMLINK, ENOSYS, EOPNOTSUPP, EPERM, EROFS, EXDEV,
    ]

    package init(_ path: String) throws(FileError) {
        try FileSystem.makeFolder(FileSystem.folder(of: path))
        (self.path, temporary) = (path, FileSystem.temporaryPath(for: path))
        try FileSystem.check(path, "create the folder", as: .open) { mkdir(temporary, 0o777) }
    }

    private init(beside path: String, temporary: String) { (self.path, self.temporary) = (path, temporary) }

    deinit {
        if !isInPlace { FileSystem.removeFolder(temporary) }
    }

    /// Puts the folder in its place, where nothing or an empty folder is.
    package func commit() throws(FileError) {
        try AtomicFile.syncFolder(temporary)
        try FileSystem.check(path, "put the folder in its place", as: .rename) { rename(temporary, path) }
        isInPlace = true
        try AtomicFile.syncFolder(FileSystem.folder(of: path))
    }

    /// Puts the folder in its place, instead of the folder of files that is there, if one is. Where the file system cannot
    /// exchange two folders the old one goes first.
    package func commitReplacing() throws(FileError) {
        if FileSystem.isFolder(path) {
            try AtomicFile.syncFolder(temporary)
            let result = try FileSystem.check(path, "replace", as: .rename, accepting: AtomicFolder.refusals)
            {
                renameat2(AT_FDCWD, temporary, AT_FDCWD, path, UInt32(LINUX_RENAME_EXCHANGE))
            }
            // From here on `temporary` is the old folder, which goes with this object.
            if result == 0 { return try AtomicFile.syncFolder(FileSystem.folder(of: path)) }
            AtomicFolder.remove(path)
        }
        try commit()
    }

    /// Removes a folder that holds only files, at one instant: under its own name there is all of it or nothing.
    package static func remove(_ path: String) {
        let temporary = FileSystem.temporaryPath(for: path)
        if rename(path, temporary) == 0 { FileSystem.removeFolder(temporary) }
    }

    /// Replaces several files of the folder `path` at one instant: `fill` writes them into a new folder, which gets all
    /// other entries of the old one too (files by a second name, folders moved at the end) and changes places with it.
    /// False, and nothing was changed, where that is not possible.
    package static func replaceFiles(
        in path: String, fill: (_ temporary: String) throws(FileError) -> Void
    ) throws(FileError) -> Bool {
        guard let path = FileSystem.resolved(path) else { return false }
        let temporary = FileSystem.temporaryPath(for: path)
        let made = try FileSystem.check(path, "create a folder beside it", as: .open, accepting: refusals) {
            mkdir(temporary, 0o777)
        }
        guard made == 0 else { return false }
        let folder = AtomicFolder(beside: path, temporary: temporary)
        try fill(temporary)
        return try folder.exchange()
    }

    private func exchange() throws(FileError) -> Bool {
        let replaced = Set(try FileSystem.names(in: temporary))
        var folders: [String] = []
        for name in try FileSystem.names(in: path) where !replaced.contains(name) {
            let (old, new) = ("\(path)/\(name)", "\(temporary)/\(name)")
            if FileSystem.isFolder(old) {
                folders.append(name)
            } else {
                let linked = try FileSystem.check(old, "link", as: .open, accepting: AtomicFolder.refusals) {
                    link(old, new)
                }
                guard linked == 0 else { return false }
            }
        }
        try AtomicFile.syncFolder(temporary)
        let result = try FileSystem.check(path, "replace", as: .rename, accepting: AtomicFolder.refusals) {
            renameat2(AT_FDCWD, temporary, AT_FDCWD, path, UInt32(LINUX_RENAME_EXCHANGE))
        }
        guard result == 0 else { return false }
        // From here on `temporary` is the old folder.
        for name in folders {
            try FileSystem.check("\(path)/\(name)", "move", as: .rename) {
                rename("\(temporary)/\(name)", "\(path)/\(name)")
            }
        }
        try AtomicFile.syncFolder(path)
        try AtomicFile.syncFolder(FileSystem.folder(of: path))
        return true
    }
}
