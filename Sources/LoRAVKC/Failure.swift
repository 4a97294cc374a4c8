// What can go wrong in a call, and the status and parts of every error of the targets below.

import CLoRAVK
import Checkpoints
import LoRAVK
import VulkanCompute

/// An error of this layer itself.
struct APIError: Error {
    let status: loravk_status
    let message: String

    init(_ status: Int, _ message: String) {
        self.status = loravk_status(status)
        self.message = message
    }

    static func argument(_ message: String) -> APIError { APIError(LORAVK_ERROR_INVALID_ARGUMENT, message) }
}

/// An error as the caller gets it.
struct Failure {
    var status: loravk_status
    var message: String
    var vkResult: Int32 = 0
    var systemErrno: Int32 = 0
    var path = ""
    var tensor = ""
    var byteOffset: Int64 = -1
    var line: Int64 = -1

    init(_ error: any Error) {
        status = loravk_status(LORAVK_ERROR_INTERNAL)
        message = "\(error)"
        switch error {
        case let error as APIError: (status, message) = (error.status, error.message)
        case let error as VulkanError:
            status = loravk_status(error.kind.status)
            vkResult = error.result
        case let error as FileError:
            status = loravk_status(error.isUnsupported ? LORAVK_ERROR_UNSUPPORTED : LORAVK_ERROR_FILE)
            path = error.path
            tensor = error.tensor ?? ""
            systemErrno = error.systemErrno
            switch error.position {
            case .byte(let offset): byteOffset = Int64(offset)
            case .line(let number): line = Int64(number)
            case nil: break
            }
        case is ConfigError: status = loravk_status(LORAVK_ERROR_INVALID_ARGUMENT)
        case is DivergenceError: status = loravk_status(LORAVK_ERROR_DIVERGED)
        default: break
        }
    }
}

extension VulkanError.Kind {
    fileprivate var status: Int {
        switch self {
        case .noDevice: LORAVK_ERROR_NO_DEVICE
        case .unsupported: LORAVK_ERROR_UNSUPPORTED
        case .outOfMemory: LORAVK_ERROR_OUT_OF_MEMORY
        case .deviceLost: LORAVK_ERROR_DEVICE_LOST
        case .call: LORAVK_ERROR_DRIVER
        }
    }
}
