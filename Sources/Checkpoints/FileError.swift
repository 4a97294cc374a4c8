// The one error of this target: a sentence that names the file, the place in it, what is wrong and what to
// do.

package struct FileError: Error, Sendable, Equatable, CustomStringConvertible {
    package enum Position: Sendable, Equatable {
        case byte(Int)
        case line(Int)
    }

    package var path: String
    package var position: Position?
    package var message: String
    package var remedy: String?
    /// The system's reason, 0 where it had none.
    package var systemErrno: Int32 = 0
    /// The file is sound, and of a kind that this version does not know.
    package var isUnsupported = false
    /// The tensor that the message is about.
    package var tensor: String?

    package init(
        _ path: String, at position: Position? = nil, _ message: String, tensor: String? = nil,
        remedy: String? = nil, systemErrno: Int32 = 0
    ) {
        self.path = path
        self.position = position
        self.message = message
        self.tensor = tensor
        self.remedy = remedy
        self.systemErrno = systemErrno
    }

    package func unsupported() -> FileError {
        var error = self
        error.isUnsupported = true
        return error
    }

    package var description: String {
        let place =
            switch position {
            case .byte(let offset): ", byte \(offset)"
            case .line(let number): ", line \(number)"
            case nil: ""
            }
        return ("\(path)\(place): \(message.cut)" + (remedy.map { "; \($0.cut)" } ?? "")).printable()
    }
}

extension String {
    /// Not more of a message than a person reads: names of a file may be as long as the file.
    fileprivate var cut: String { utf8.count <= 1200 ? self : String(unicodeScalars.prefix(1200)) + "…" }

    /// The text with what steers a terminal written as \u{…}: control characters, and what changes the direction of text. Names
    /// and texts of files may hold anything.
    package func printable(keeping kept: String = "") -> String {
        func steers(_ scalar: Unicode.Scalar) -> Bool {
            switch scalar.value {
            case 0..<0x20, 0x7F..<0xA0, 0x2028...0x202E, 0x2066...0x2069:
                !kept.unicodeScalars.contains(scalar)
            default: false
            }
        }
        guard unicodeScalars.contains(where: steers) else { return self }
        return unicodeScalars.reduce(into: "") { text, scalar in
            if steers(scalar) {
                text += "\\u{\(String(scalar.value, radix: 16))}"
            } else {
                text.unicodeScalars.append(scalar)
            }
        }
    }
}
