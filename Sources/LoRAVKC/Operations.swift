// What every operation of loravk.h does around its launcher: handles become tensors of one context, types and shapes are
// checked, the work runs at once or goes to the context's recording.

import CLoRAVK
import Kernels
import VulkanCompute

/// Runs an operation on tensors of one context, or records it.
func operate(
    on tensors: TensorObject..., check: () throws -> Void,
    _ body: (CommandEncoder) throws -> Void
) throws {
    let context = tensors[0].context
    guard tensors.allSatisfy({ $0.context === context }) else {
        throw APIError.argument("the tensors belong to different contexts; move the numbers through the host")
    }
    try check()
    for tensor in tensors { try tensor.requireRowsFit() }
    try context.locked {
        if let recording = context.recording {
            try recording.record(body)
        } else {
            let encoder = try CommandEncoder(context.device)
            try body(encoder)
            try encoder.finish().run()
        }
    }
}

extension TensorObject {
    func require(_ type: TensorType, _ name: String) throws {
        guard self.type == type else {
            throw APIError.argument("\(name) is \(self.type); it must be \(type) (loravk_copy converts)")
        }
    }

    /// Rows of the last dimension.
    func require(rows: Int, width: Int, _ name: String) throws {
        guard self.rows == rows, self.width == width else {
            throw APIError.argument("\(name) has the shape \(shape); it must be (\(rows), \(width))")
        }
    }

    func require(count: Int, _ name: String) throws {
        guard self.count == count else {
            throw APIError.argument(
                "\(name) has the shape \(shape), \(self.count) elements; it must have \(count)")
        }
    }

    /// The kernels that read whole rows take four numbers at a time.
    func requireWidthInFours(_ name: String) throws {
        guard width % 4 == 0 else {
            throw APIError.argument(
                "\(name) has rows of \(width) numbers; this operation needs a multiple of 4: pad them")
        }
    }

    func requireDistinct(from others: [(TensorObject, String)], _ name: String) throws {
        for (other, otherName) in others where other === self {
            throw APIError.argument("\(name) and \(otherName) are the same tensor")
        }
    }

    /// A tensor larger than one binding is worked on in spans of rows, which must fit and begin where they may be bound.
    func requireRowsFit() throws {
        let limit = context.device.capabilities.bindingLimit
        let rowBytes = width * type.byteCount
        guard storage.byteCount <= limit || rowBytes <= limit / 256 else {
            throw APIError(
                LORAVK_ERROR_UNSUPPORTED,
                "a tensor of \(storage.byteCount) bytes with rows of \(rowBytes) is too wide for this device, which sees "
                    + "\(limit) bytes at a time: use more and shorter rows")
        }
    }

    /// Kernels that read a tensor whole.
    func requireOneBinding(_ name: String) throws {
        let limit = context.device.capabilities.maxStorageBufferRange
        guard storage.byteCount <= limit else {
            throw APIError(
                LORAVK_ERROR_UNSUPPORTED,
                "\(name) has \(storage.byteCount) bytes; this operation can use \(limit) on this device")
        }
    }
}

extension Capabilities {
    /// Bytes that any kernel family can bind at once.
    fileprivate var bindingLimit: Int {
        family == .texel ? min(maxStorageBufferRange, maxTexelBufferElements * 16) : maxStorageBufferRange
    }
}

func finite(_ value: Float, _ name: String) throws {
    guard value.isFinite else { throw APIError.argument("\(name) is \(value); it must be a finite number") }
}
