// What people see: progress on one line of a terminal, plain lines elsewhere, sentences on stderr.

import Checkpoints
import LoRAVK
import Reports
import Sweeps
import Tokenizer
import VulkanCompute

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// Errors whose description is the sentence to print.
protocol OwnError: Error {}
extension VulkanError: OwnError {}
extension FileError: OwnError {}
extension ConfigError: OwnError {}
extension DivergenceError: OwnError {}

enum Terminal {
    static let isInteractive = isatty(STDERR_FILENO) == 1

    // Texts may come from files, so nothing in them steers the terminal.
    static func error(_ text: String) { write(safe(text) + "\n", to: STDERR_FILENO) }
    static func warn(_ text: String) { error("lora-vk: warning: \(text)") }
    static func print(_ text: String) { write(safe(text) + "\n", to: STDOUT_FILENO) }

    /// A model's text, or a part of it: another program gets it as it is. `marks` come before and behind.
    static func generated(_ text: String, terminator: String = "", marks: (String, String) = ("", "")) {
        let text = isatty(STDOUT_FILENO) == 1 ? safe(text) : text
        write(marks.0 + text + marks.1 + terminator, to: STDOUT_FILENO)
    }

    /// Whether what is printed may have colours (no-color.org).
    static var showsColours: Bool {
        isatty(STDOUT_FILENO) == 1 && (getenv("NO_COLOR").map { $0.pointee == 0 } ?? true)
    }

    /// A status that the next one replaces on a terminal.
    static func status(_ text: String) {
        let text = safe(text)
        // A line that is wider than the terminal would stay there.
        write(isInteractive ? "\r\u{1B}[K" + text.cut(to: width - 1) : text + "\n", to: STDERR_FILENO)
    }

    /// Columns.
    private static var width: Int {
        var size = winsize()
        return ioctl(STDERR_FILENO, UInt(TIOCGWINSZ), &size) == 0 && size.ws_col > 1 ? Int(size.ws_col) : 80
    }

    /// A word as a shell reads it back.
    static func quoted(_ word: String) -> String {
        let isPlain = word.utf8.allSatisfy {
            "a"..."z" ~= Unicode.Scalar($0) || "A"..."Z" ~= Unicode.Scalar($0)
                || "0"..."9" ~= Unicode.Scalar($0)
                || "_-./:=,+@%".utf8.contains($0)
        }
        return isPlain && !word.isEmpty ? word : "'" + word.replacing("'", with: "'\\''") + "'"
    }

    private static func safe(_ text: String) -> String { text.printable(keeping: "\n\t") }

    /// A part of a line: what is typed behind, or what comes bit by bit.
    static func ask(_ text: String) { write(safe(text), to: STDERR_FILENO) }

    /// Ends a line that `status` left open.
    static func endStatus() { if isInteractive { write("\n", to: STDERR_FILENO) } }

    private static func write(_ text: String, to descriptor: Int32) {
        var rest = Array(text.utf8)[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else { return }
            rest = rest.dropFirst(count)
        }
    }

    static func duration(_ seconds: Double) -> String {
        let whole = Int(seconds.rounded())
        if whole < 60 { return "\(whole) s" }
        if whole < 3600 { return "\(whole / 60) min \(whole % 60) s" }
        return "\(whole / 3600) h \(whole % 3600 / 60) min"
    }

    static func bytes(_ count: Int) -> String {
        count < 1_000_000 ? "\((count + 500) / 1000) kB" : "\((count + 500_000) / 1_000_000) MB"
    }

    /// A number with so many significant digits.
    static func number(_ value: Double, digits: Int = 4) -> String { value.text(digits: digits) }
}

extension String {
    /// At most so many characters, the last an ellipsis where some are left out.
    func cut(to count: Int) -> String { self.count <= count ? self : prefix(max(0, count - 1)) + "…" }
}

/// SIGINT and SIGTERM ask for an end between two steps; a second one ends the program at once.
enum Interrupt {
    nonisolated(unsafe) private static var received: sig_atomic_t = 0

    static var signal: Int32? { received == 0 ? nil : received }
    static var isRequested: Bool { received != 0 }

    /// Runs what a file may make long: a signal ends it, and the program with the signal's exit code.
    static func watching<Result>(_ body: () throws -> Result) throws -> Result {
        do {
            return try Interruption.during(isRequested: { isRequested }, body)
        } catch {
            guard let signal else { throw error }
            throw CommandExit(code: 128 + signal)
        }
    }

    /// Goes on after a Ctrl-C; false where another signal came.
    static func forgive() -> Bool {
        guard received == SIGINT else { return false }
        received = 0
        return true
    }

    static func install() {
        for number in [SIGINT, SIGTERM] {
            Glibc.signal(number) { number in
                if Interrupt.received != 0 { _exit(128 + number) }
                Interrupt.received = number
            }
        }
    }
}
