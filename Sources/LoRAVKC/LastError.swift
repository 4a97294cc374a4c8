// Chapter "Errors" of loravk.h: each thread keeps the error of its last call in one block, made with the thread's first call,
// so that telling an error allocates nothing.

import CLoRAVK
import Glibc

/// The error of a thread. `detail.message` is cut where it is longer than the struct of version 1 has room for; `text` has all
/// that fits the block.
struct ThreadError {
    static let textCapacity = 4096
    var detail: loravk_error_detail
    let text: UnsafeMutablePointer<CChar>
}

enum LastError {
    private static let key: pthread_key_t = {
        var key = pthread_key_t()
        pthread_key_create(&key) { block in
            guard let block else { return }
            let error = block.assumingMemoryBound(to: ThreadError.self)
            error.pointee.text.deallocate()
            error.deallocate()
        }
        return key
    }()

    static var current: UnsafeMutablePointer<ThreadError> {
        if let block = pthread_getspecific(key) { return block.assumingMemoryBound(to: ThreadError.self) }
        let block = UnsafeMutablePointer<ThreadError>.allocate(capacity: 1)
        let text = UnsafeMutablePointer<CChar>.allocate(capacity: ThreadError.textCapacity)
        text[0] = 0
        block.initialize(to: ThreadError(detail: .none, text: text))
        pthread_setspecific(key, block)
        return block
    }

    static func clear() {
        let error = current
        guard error.pointee.detail.status != LORAVK_OK else { return }
        error.pointee.detail = .none
        error.pointee.text[0] = 0
    }

    static func set(_ failure: Failure) {
        let error = current
        error.pointee.detail = loravk_error_detail(failure)
        copy(
            failure.message,
            to: UnsafeMutableBufferPointer(start: error.pointee.text, count: ThreadError.textCapacity))
    }
}

extension loravk_error_detail {
    static var none: loravk_error_detail {
        var detail = loravk_error_detail()
        detail.struct_size = MemoryLayout<loravk_error_detail>.size
        (detail.byte_offset, detail.line) = (-1, -1)
        return detail
    }

    init(_ failure: Failure) {
        self = .none
        status = failure.status
        vk_result = failure.vkResult
        system_errno = failure.systemErrno
        byte_offset = failure.byteOffset
        line = failure.line
        copy(failure.path, into: &path)
        copy(failure.tensor, into: &tensor)
        copy(failure.message, into: &message)
    }
}

/// Copies text into a fixed array of characters, cut between characters where it is longer, and ends it with NUL.
func copy<Array>(_ text: String, into array: inout Array) {
    withUnsafeMutableBytes(of: &array) { bytes in copy(text, to: bytes.bindMemory(to: CChar.self)) }
}

func copy(_ text: String, to room: UnsafeMutableBufferPointer<CChar>) {
    var count = 0
    for scalar in text.unicodeScalars {
        let bytes = UTF8.encode(scalar) ?? UTF8.encodedReplacementCharacter
        guard count + bytes.count < room.count else { break }
        for byte in bytes {
            room[count] = CChar(bitPattern: byte)
            count += 1
        }
    }
    room[count] = 0
}

@c @implementation public func loravk_last_error() -> UnsafePointer<CChar>! {
    UnsafePointer(LastError.current.pointee.text)
}

@c @implementation public func loravk_last_error_detail(
    _ detail: UnsafeMutablePointer<loravk_error_detail>!
) -> loravk_status {
    keepingLastError { try write(LastError.current.pointee.detail, to: detail) }
}

@c @implementation public func loravk_status_name(_ status: loravk_status) -> UnsafePointer<CChar>! {
    let name: StaticString =
        switch Int(status) {
        case LORAVK_OK: "LORAVK_OK"
        case LORAVK_ERROR_INVALID_ARGUMENT: "LORAVK_ERROR_INVALID_ARGUMENT"
        case LORAVK_ERROR_INVALID_HANDLE: "LORAVK_ERROR_INVALID_HANDLE"
        case LORAVK_ERROR_INVALID_STATE: "LORAVK_ERROR_INVALID_STATE"
        case LORAVK_ERROR_BUSY: "LORAVK_ERROR_BUSY"
        case LORAVK_ERROR_BUFFER_TOO_SMALL: "LORAVK_ERROR_BUFFER_TOO_SMALL"
        case LORAVK_ERROR_FILE: "LORAVK_ERROR_FILE"
        case LORAVK_ERROR_NO_DEVICE: "LORAVK_ERROR_NO_DEVICE"
        case LORAVK_ERROR_UNSUPPORTED: "LORAVK_ERROR_UNSUPPORTED"
        case LORAVK_ERROR_OUT_OF_MEMORY: "LORAVK_ERROR_OUT_OF_MEMORY"
        case LORAVK_ERROR_DEVICE_LOST: "LORAVK_ERROR_DEVICE_LOST"
        case LORAVK_ERROR_DRIVER: "LORAVK_ERROR_DRIVER"
        case LORAVK_ERROR_DIVERGED: "LORAVK_ERROR_DIVERGED"
        case LORAVK_ERROR_FORKED: "LORAVK_ERROR_FORKED"
        case LORAVK_ERROR_INTERNAL: "LORAVK_ERROR_INTERNAL"
        default: "unknown status"
        }
    return constant(name)
}
