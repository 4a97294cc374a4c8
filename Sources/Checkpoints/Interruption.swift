// Whether whoever waits for a file to be read has asked for an end: looked at wherever a file decides how long that takes.

package final class Interruption: Sendable {
    /// Holds for what runs inside `during` on this thread.
    @TaskLocal private static var current: Interruption?

    private let request: @Sendable () -> Bool

    private init(_ request: @escaping @Sendable () -> Bool) { self.request = request }

    /// `isRequested` may be called often.
    package static func during<Result>(
        isRequested: @escaping @Sendable () -> Bool, _ body: () throws -> Result
    ) rethrows -> Result {
        try $current.withValue(Interruption(isRequested), operation: body)
    }

    package static var isRequested: Bool { current?.request() ?? false }

    package static func check(_ path: String) throws(FileError) {
        if isRequested { throw FileError(path, "was not read to its end: a stop was asked for") }
    }
}
