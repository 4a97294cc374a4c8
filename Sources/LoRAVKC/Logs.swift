// The log callback of loravk.h. The runtime logs through swift-log; without a callback everything is dropped.

import CLoRAVK
import Logging
import Synchronization

enum Logs {
    /// Must come before the runtime's first line.
    static func start() { _ = started }
    private static let started: Void = LoggingSystem.bootstrap { _ in CallbackHandler() }

    fileprivate static let sink = Mutex<Sink?>(nil)

    static func warn(_ text: String) { CallbackHandler().tell(.warning, text) }

    static func replace(_ new: Sink?) {
        // The old sink's user data goes when the last thread that is inside it lets go of it.
        let old = sink.withLock { sink in
            let old = sink
            sink = new
            return old
        }
        _ = old
    }
}

/// A caller's callback.
final class Sink: @unchecked Sendable {
    let callback: loravk_log_callback
    let lowest: loravk_log_level
    let userData: UnsafeMutableRawPointer?
    let destructor: loravk_destructor?

    init(
        _ callback: @escaping loravk_log_callback, _ lowest: loravk_log_level,
        _ userData: UnsafeMutableRawPointer?,
        _ destructor: loravk_destructor?
    ) {
        (self.callback, self.lowest, self.userData, self.destructor) = (
            callback, lowest, userData, destructor
        )
    }

    deinit { destructor?(userData) }
}

private struct CallbackHandler: LogHandler {
    var metadata = Logger.Metadata()
    var logLevel = Logger.Level.debug

    subscript(metadataKey key: String) -> Logger.MetadataValue? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) { tell(event.level, event.message.description) }

    func tell(_ level: Logger.Level, _ text: String) {
        guard let sink = Logs.sink.withLock({ $0 }) else { return }
        let level = loravk_log_level(level.code)
        guard level >= sink.lowest else { return }
        text.withCString { sink.callback(sink.userData, level, $0) }
    }
}

extension Logger.Level {
    fileprivate var code: Int {
        switch self {
        case .trace, .debug: LORAVK_LOG_DEBUG
        case .info, .notice: LORAVK_LOG_INFO
        case .warning: LORAVK_LOG_WARNING
        case .error, .critical: LORAVK_LOG_ERROR
        }
    }
}

@c @implementation public func loravk_set_log_callback(
    _ callback: loravk_log_callback!, _ lowest: loravk_log_level, _ userData: UnsafeMutableRawPointer!,
    _ destructor: loravk_destructor!
) -> loravk_status {
    call {
        guard (LORAVK_LOG_DEBUG...LORAVK_LOG_ERROR).contains(Int(lowest)) else {
            throw APIError.argument("the log level is \(lowest); it must be 0 (debug) to 3 (error)")
        }
        Logs.replace(callback.map { Sink($0, lowest, userData, destructor) })
    }
}
