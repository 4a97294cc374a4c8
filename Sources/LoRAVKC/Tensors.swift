// Tensors of loravk.h: a buffer with a shape. Buffers end at a multiple of 16 bytes, zeros behind the last element, so that
// kernels which take four numbers at a time run on any count.

import CLoRAVK
import Kernels
import VulkanCompute

enum TensorType: loravk_dtype, CustomStringConvertible {
    case f32, f16, bf16, i32

    init(code: loravk_dtype) throws {
        guard let type = TensorType(rawValue: code) else {
            throw APIError.argument("the dtype is \(code); there are 0 (f32), 1 (f16), 2 (bf16) and 3 (i32)")
        }
        self = type
    }

    var byteCount: Int {
        switch self {
        case .f32, .i32: 4
        case .f16, .bf16: 2
        }
    }

    /// Not of i32.
    var floatFormat: Shader.FloatFormat {
        switch self {
        case .f32, .i32: .f32
        case .f16: .f16
        case .bf16: .bf16
        }
    }

    var description: String {
        switch self {
        case .f32: "f32"
        case .f16: "f16"
        case .bf16: "bf16"
        case .i32: "i32"
        }
    }
}

/// Used inside its context's lock.
final class TensorObject: HandleObject, @unchecked Sendable {
    static let kind = "a tensor"
    let context: Context
    let type: TensorType
    let shape: [Int]
    /// All bytes, padding included.
    let storage: BufferSlice
    /// As a frozen weight in the kernels' layout, made when first used as one.
    var frozen: FrozenMatrix?
    /// The caller can write its memory at any time.
    var isMapped = false

    init(_ context: Context, _ type: TensorType, _ shape: [Int], in storage: BufferSlice) {
        (self.context, self.type, self.shape, self.storage) = (context, type, shape, storage)
    }

    init(_ context: Context, _ type: TensorType, _ shape: [Int]) throws {
        let byteCount = try Self.byteCount(type, shape)
        self.context = context
        self.type = type
        self.shape = shape
        storage = try context.device.makeBuffer(
            byteCount: max(16, (byteCount + 15) / 16 * 16), label: "tensor \(shape)"
        ).slice()
        if let mapped = storage.mapped {
            mapped.initializeMemory(as: UInt8.self, repeating: 0, count: storage.byteCount)
        } else {
            let storage = storage
            try context.device.run { encoder throws(VulkanError) in try encoder.fill(storage) }
        }
    }

    /// Refuses shapes whose products wrap, also those with a zero in them.
    static func byteCount(_ type: TensorType, _ shape: [Int]) throws -> Int {
        let largest = try product(shape.map { $0 == 0 ? 1 : $0 } + [type.byteCount], "a tensor")
        guard largest < 1 << 34 else {
            throw APIError(
                LORAVK_ERROR_OUT_OF_MEMORY,
                "a tensor of shape \(shape) needs \(largest) bytes; at most \(1 << 34) fit one")
        }
        return shape.contains(0) ? 0 : largest
    }

    var count: Int { shape.reduce(1, *) }
    var byteCount: Int { count * type.byteCount }
    var width: Int { shape.last ?? 1 }
    var rows: Int { shape.dropLast().reduce(1, *) }
    /// The elements alone.
    var slice: BufferSlice { storage.slice(0, byteCount: byteCount) }

    var tensor: Tensor { Tensor(storage, shape: [rows, width], dtype: type == .i32 ? .i32 : .f32) }
    /// One row of all elements and the zeros behind them: a multiple of four.
    var flat: Tensor { Tensor(storage, shape: [storage.byteCount / 4]) }
}

func tensorObject(_ handle: OpaquePointer?, _ name: String) throws -> TensorObject {
    try Handles.object(handle, TensorObject.self, name)
}

@c @implementation public func loravk_tensor_create(
    _ handle: OpaquePointer!, _ dtype: loravk_dtype, _ shape: UnsafePointer<Int64>!, _ dimensions: Int,
    _ tensor: UnsafeMutablePointer<OpaquePointer?>!
) -> loravk_status {
    call {
        let context = try context(handle)
        let output = try Output(tensor, "tensor")
        let type = try TensorType(code: dtype)
        let shape = try sizes(shape, dimensions)
        output.give(try context.locked { try TensorObject(context, type, shape) })
    }
}

private func sizes(_ shape: UnsafePointer<Int64>?, _ dimensions: Int) throws -> [Int] {
    guard (0...Int(LORAVK_MAX_DIMENSIONS)).contains(dimensions) else {
        throw APIError.argument(
            "a tensor has \(UInt(bitPattern: dimensions)) dimensions; there may be 0 to \(LORAVK_MAX_DIMENSIONS)"
        )
    }
    return try array(shape, dimensions, "shape").map { size in
        guard (0...Int64(Int32.max)).contains(size) else {
            throw APIError.argument("a dimension is \(size); it must be 0 to \(Int32.max)")
        }
        return Int(size)
    }
}

/// The caller's memory, until a tensor in it is gone.
private final class HostMemory {
    let userData: UnsafeMutableRawPointer?
    var destructor: loravk_destructor?

    init(_ userData: UnsafeMutableRawPointer?) { self.userData = userData }
    deinit { destructor?(userData) }
}

@c @implementation public func loravk_tensor_import(
    _ handle: OpaquePointer!, _ dtype: loravk_dtype, _ shape: UnsafePointer<Int64>!, _ dimensions: Int,
    _ data: UnsafeMutableRawPointer!, _ byteCount: Int, _ userData: UnsafeMutableRawPointer!,
    _ destructor: loravk_destructor!, _ tensor: UnsafeMutablePointer<OpaquePointer?>!
) -> loravk_status {
    call {
        let context = try context(handle)
        let output = try Output(tensor, "tensor")
        let type = try TensorType(code: dtype)
        let shape = try sizes(shape, dimensions)
        let needed = try TensorObject.byteCount(type, shape)
        guard let data else { throw APIError.argument("data is NULL") }
        let capabilities = context.device.capabilities
        guard let alignment = capabilities.hostImportAlignment else {
            throw APIError(
                LORAVK_ERROR_UNSUPPORTED,
                "\(capabilities.name) cannot use host memory in place: upload a copy")
        }
        guard UInt(bitPattern: data) % UInt(alignment) == 0, byteCount > 0, byteCount % alignment == 0 else {
            throw APIError.argument(
                "data and byte_count (\(UInt(bitPattern: byteCount))) must be multiples of \(alignment) on this device"
            )
        }
        guard needed <= byteCount, needed > 0, needed % 16 == 0 else {
            throw APIError.argument(
                "a \(type) tensor of shape \(shape) has \(needed) bytes; it must be a multiple of 16 up to byte_count, "
                    + "\(byteCount)")
        }
        let owner = HostMemory(userData)
        let buffer = try context.locked {
            try context.device.importBuffer(
                UnsafeMutableRawBufferPointer(start: data, count: byteCount), owner: owner,
                label: "tensor \(shape)")
        }
        owner.destructor = destructor
        let object = TensorObject(context, type, shape, in: buffer.slice(0, byteCount: needed))
        object.isMapped = true
        output.give(object)
    }
}

@c @implementation public func loravk_tensor_release(_ tensor: OpaquePointer!) {
    Handles.release(tensor, TensorObject.self)
}

@c @implementation public func loravk_tensor_get_info(
    _ handle: OpaquePointer!, _ info: UnsafeMutablePointer<loravk_tensor_info>!
) -> loravk_status {
    call {
        let tensor = try tensorObject(handle, "tensor")
        var result = loravk_tensor_info()
        result.dtype = tensor.type.rawValue
        result.dimensions = Int32(tensor.shape.count)
        copy(tensor.shape, into: &result.shape)
        result.byte_count = Int64(tensor.byteCount)
        try write(result, to: info)
    }
}

func copy<Array>(_ shape: [Int], into array: inout Array) {
    withUnsafeMutableBytes(of: &array) { bytes in
        let sizes = bytes.bindMemory(to: Int64.self)
        for (index, size) in shape.prefix(sizes.count).enumerated() { sizes[index] = Int64(size) }
    }
}

@c @implementation public func loravk_tensor_upload(
    _ handle: OpaquePointer!, _ data: UnsafeRawPointer!, _ byteCount: Int
) -> loravk_status {
    call {
        let tensor = try tensorObject(handle, "tensor")
        try tensor.check(data, byteCount)
        try tensor.context.locked {
            tensor.frozen = nil
            try tensor.context.device.upload(
                UnsafeRawBufferPointer(start: data, count: byteCount), into: tensor.slice)
        }
    }
}

@c @implementation public func loravk_tensor_download(
    _ handle: OpaquePointer!, _ data: UnsafeMutableRawPointer!, _ byteCount: Int
) -> loravk_status {
    call {
        let tensor = try tensorObject(handle, "tensor")
        try tensor.check(data, byteCount)
        try tensor.context.locked {
            try tensor.context.device.download(
                tensor.slice, into: UnsafeMutableRawBufferPointer(start: data, count: byteCount))
        }
    }
}

@c @implementation public func loravk_tensor_map(
    _ handle: OpaquePointer!, _ data: UnsafeMutablePointer<UnsafeMutableRawPointer?>!
) -> loravk_status {
    call {
        let tensor = try tensorObject(handle, "tensor")
        let data = try required(data, "data")
        guard let mapped = tensor.storage.mapped else {
            throw APIError(
                LORAVK_ERROR_UNSUPPORTED,
                "\(tensor.context.device.capabilities.name) keeps tensors where the host does not see them: use upload and download"
            )
        }
        // What is written there cannot be seen here, so a weight made of it would go stale.
        tensor.context.locked { tensor.isMapped = true }
        data.pointee = mapped
    }
}

extension TensorObject {
    fileprivate func check(_ data: UnsafeRawPointer?, _ byteCount: Int) throws {
        guard byteCount == self.byteCount else {
            throw APIError.argument(
                "byte_count is \(UInt(bitPattern: byteCount)), and the \(type) tensor of shape \(shape) has \(self.byteCount)"
            )
        }
        guard data != nil || byteCount == 0 else { throw APIError.argument("data is NULL") }
    }
}
