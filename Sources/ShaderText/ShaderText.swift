// A shader's text with all that it includes, and a number that changes with any of it.

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

package struct ShaderText {
    /// Each once: the shader first, then what it includes, as it is found.
    package private(set) var files: [(path: String, text: String)] = []

    /// nil where a file cannot be read: the compiler says which.
    package init?(_ path: String, root: String) {
        var (pending, seen) = ([path], Set([path]))
        while let path = pending.popLast() {
            guard let data = FileManager.default.contents(atPath: "\(root)/\(path)") else { return nil }
            let text = String(decoding: data, as: UTF8.self)
            files.append((path, text))
            for line in text.split(separator: "\n") where line.hasPrefix("#include \"") {
                let parts = line.split(separator: "\"", omittingEmptySubsequences: false)
                if seen.insert(String(parts[1])).inserted { pending.append(String(parts[1])) }
            }
        }
    }

    /// FNV-1a of all texts and where they stand.
    package var fingerprint: UInt64 {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for file in files {
            for byte in "\(file.path)\0\(file.text)\0".utf8 {
                hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3
            }
        }
        return hash
    }
}
