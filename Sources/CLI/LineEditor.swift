// Typed lines with arrow keys and a history, by libedit. It is looked for when it is needed and nothing depends on it: where a system
// lacks it, lines are edited as the terminal does it.

import LoRAVK

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// One in a process, since libedit has one state.
struct LineEditor {
    private typealias ReadLine = @convention(c) (UnsafePointer<CChar>?) -> UnsafeMutablePointer<CChar>?
    private typealias AddHistory = @convention(c) (UnsafePointer<CChar>?) -> CInt
    private typealias GetCharacter = @convention(c) (UnsafeMutableRawPointer?) -> CInt

    private static let names = ["libedit.so.2", "libedit.so.0", "libedit.3.dylib"]
    nonisolated(unsafe) private static var isBroken = false
    private let readLine: ReadLine
    private let addHistory: AddHistory

    /// nil where there is no libedit.
    init?() {
        guard let library = Self.names.lazy.compactMap({ dlopen($0, RTLD_NOW) }).first else { return nil }
        func symbol(_ name: String) -> UnsafeMutableRawPointer? { dlsym(library, name) }
        guard let readLine = symbol("readline"), let addHistory = symbol("add_history"),
            let getCharacter = symbol("rl_getc_function"), let output = symbol("rl_outstream")
        else { return nil }
        self.readLine = unsafeBitCast(readLine, to: ReadLine.self)
        self.addHistory = unsafeBitCast(addHistory, to: AddHistory.self)
        setlocale(LC_CTYPE, "C.UTF-8")
        let character: GetCharacter = { _ in Self.character() }
        getCharacter.storeBytes(of: character, as: GetCharacter.self)
        output.storeBytes(of: fdopen(STDERR_FILENO, "w"), as: UnsafeMutablePointer<FILE>?.self)
    }

    /// nil at the end of the input, or where a signal came.
    func line(behind prompt: String) throws(ConfigError) -> String? {
        guard let bytes = readLine(prompt) else {
            if Self.isBroken { throw InputLines.isNoText }
            return nil
        }
        defer { free(bytes) }
        let line = String(cString: bytes)
        if !line.allSatisfy(\.isWhitespace) { _ = addHistory(bytes) }
        return line
    }

    /// A scalar of Unicode as a key of libedit's; −1 ends the line.
    private static func character() -> CInt {
        var bytes: [UInt8] = []
        var length = 1
        repeat {
            var byte: UInt8 = 0
            guard InputLines.isReady(), read(STDIN_FILENO, &byte, 1) == 1 else { return -1 }
            if bytes.isEmpty {
                length = byte < 0xC0 ? 1 : byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : byte < 0xF8 ? 4 : 1
            }
            bytes.append(byte)
        } while bytes.count < length
        guard let scalar = String(validating: bytes, as: UTF8.self)?.unicodeScalars.first else {
            isBroken = true
            return -1
        }
        return CInt(scalar.value)
    }
}
