// The lines of the standard input, one by one as they come, so that a signal ends the wait for the next.

import LoRAVK

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

struct InputLines {
    static var areTyped: Bool { isatty(STDIN_FILENO) == 1 }

    static let isNoText = ConfigError("the input is not UTF-8 text")

    private var rest: [UInt8] = []
    private var isAtEnd = false

    /// Without its end; nil behind the last, or where a signal came.
    mutating func next() throws(ConfigError) -> String? {
        while true {
            if let end = rest.firstIndex(of: UInt8(ascii: "\n")) {
                defer { rest.removeFirst(end + 1) }
                return try text(rest[..<end])
            }
            guard !isAtEnd else {
                defer { rest = [] }
                return rest.isEmpty ? nil : try text(rest[...])
            }
            guard Self.isReady() else { return nil }
            var bytes = [UInt8](repeating: 0, count: 1 << 16)
            let count = read(STDIN_FILENO, &bytes, bytes.count)
            if count < 0, errno == EINTR { continue }
            isAtEnd = count <= 0
            rest += bytes[..<max(0, count)]
        }
    }

    /// Waits until there is something to read; a signal ends that, where it would not end `read`.
    static func isReady() -> Bool {
        var request = pollfd(fd: STDIN_FILENO, events: Int16(POLLIN), revents: 0)
        while !Interrupt.isRequested {
            let count = poll(&request, 1, 200)
            if count > 0 || (count < 0 && errno != EINTR) { return true }
        }
        return false
    }

    private func text(_ bytes: ArraySlice<UInt8>) throws(ConfigError) -> String {
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw Self.isNoText
        }
        return text.hasSuffix("\r") ? String(text.dropLast()) : text
    }
}
