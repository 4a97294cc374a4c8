// The C API as a program uses it, with values that are released by themselves and statuses that are thrown.

import CLoRAVK
import Foundation
import LoRAVKC
import TestSupport
import Testing

struct StatusError: Error, CustomStringConvertible {
    let status: loravk_status
    let description: String
}

func check(_ status: loravk_status) throws {
    guard status != LORAVK_OK else { return }
    throw StatusError(status: status, description: String(cString: loravk_last_error()))
}

/// The text that goes with a status other than success; nil where it is another status.
func text(_ status: loravk_status, _ expected: Int) -> String? {
    status == expected ? String(cString: loravk_last_error()) : nil
}

/// A handle of the C API; any thread may use it.
final class Handle: @unchecked Sendable {
    private(set) var pointer: OpaquePointer?
    private let releaser: (OpaquePointer?) -> Void

    init(
        _ release: @escaping (OpaquePointer?) -> Void,
        _ make: (UnsafeMutablePointer<OpaquePointer?>) -> loravk_status
    ) throws {
        releaser = release
        try check(make(&pointer))
    }

    deinit { releaser(pointer) }

    func release() {
        releaser(pointer)
        pointer = nil
    }
}

func makeContext() throws -> Handle {
    try Handle(loravk_context_release) { loravk_context_create(nil, $0) }
}

extension Handle {
    func tensor(_ shape: [Int], _ dtype: Int = LORAVK_F32) throws -> Handle {
        let shape = shape.map { Int64($0) }
        return try Handle(loravk_tensor_release) {
            loravk_tensor_create(pointer, loravk_dtype(dtype), shape, shape.count, $0)
        }
    }

    func tensor(_ values: [Float], _ shape: [Int]) throws -> Handle {
        let tensor = try tensor(shape)
        try tensor.upload(values)
        return tensor
    }

    func tensor(_ values: [Int32], _ shape: [Int]) throws -> Handle {
        let tensor = try tensor(shape, LORAVK_I32)
        try tensor.upload(values)
        return tensor
    }

    func upload<T>(_ values: [T]) throws {
        try values.withUnsafeBytes { try check(loravk_tensor_upload(pointer, $0.baseAddress, $0.count)) }
    }

    func download<T>(_ zero: T) throws -> [T] {
        var info = loravk_tensor_info()
        info.struct_size = MemoryLayout<loravk_tensor_info>.size
        try check(loravk_tensor_get_info(pointer, &info))
        var values = [T](repeating: zero, count: Int(info.byte_count) / MemoryLayout<T>.stride)
        try values.withUnsafeMutableBytes {
            try check(loravk_tensor_download(pointer, $0.baseAddress, $0.count))
        }
        return values
    }

    var floats: [Float] { get throws { try download(Float.zero) } }
}

private let tiny =
    URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent().path + "/Examples/tiny"

/// The model of Examples/tiny, with its tokenizer, and a few lines to train it on.
let tinyModel = tiny + "/model"
let tinyData = tiny + "/valid.jsonl"

extension Handle {
    func model(_ path: String = tinyModel) throws -> Handle {
        try Handle(loravk_model_release) { loravk_model_load(pointer, path, nil, $0) }
    }

    func adapter(rank: Int32 = 4, seed: UInt64 = 1) throws -> Handle {
        var config = loravk_adapter_config()
        config.struct_size = MemoryLayout<loravk_adapter_config>.size
        (config.rank, config.alpha, config.seed) = (rank, 8, seed)
        return try Handle(loravk_adapter_release) { loravk_adapter_create(pointer, &config, $0) }
    }

    func trainer(_ adapter: Handle, learningRate: Double = 1e-2) throws -> Handle {
        var config = loravk_trainer_config()
        config.struct_size = MemoryLayout<loravk_trainer_config>.size
        (config.learning_rate, config.beta1, config.beta2, config.epsilon) = (learningRate, 0.9, 0.999, 1e-8)
        return try Handle(loravk_trainer_release) {
            loravk_trainer_create(pointer, adapter.pointer, &config, $0)
        }
    }

    func step(_ tokens: [Int32], _ labels: [Int32]? = nil, batch: Int) throws -> loravk_step_result {
        var result = loravk_step_result()
        result.struct_size = MemoryLayout<loravk_step_result>.size
        try check(loravk_trainer_step(pointer, tokens, labels, batch, tokens.count / batch, &result))
        return result
    }

    /// A run of a trainer on a data file, in batches of two.
    func run(
        on path: String, output: String? = nil, steps: Int64,
        _ adjust: (inout loravk_run_config) -> Void = { _ in }
    ) throws -> loravk_run_result {
        var result = loravk_run_result()
        result.struct_size = MemoryLayout<loravk_run_result>.size
        try path.withCString { path in
            var data = loravk_data_config()
            data.struct_size = MemoryLayout<loravk_data_config>.size
            (data.path, data.max_tokens) = (path, 32)
            try withUnsafePointer(to: data) { data in
                try withOptionalCString(output) { output in
                    var config = loravk_run_config()
                    config.struct_size = MemoryLayout<loravk_run_config>.size
                    (config.data, config.output, config.steps) = (data, output, steps)
                    (config.batch_size, config.accumulation) = (2, 1)
                    adjust(&config)
                    try check(loravk_trainer_run(pointer, &config, &result))
                }
            }
        }
        return result
    }

    /// All parameters of an adapter, or their gradients, one after the other.
    func parameters(gradients: Bool = false) throws -> [[Float]] {
        var count = 0
        try check(loravk_adapter_parameter_count(pointer, &count))
        return try (0..<count).map { index in
            var info = loravk_parameter_info()
            info.struct_size = MemoryLayout<loravk_parameter_info>.size
            try check(loravk_adapter_get_parameter_info(pointer, index, &info))
            var values = [Float](repeating: 0, count: Int(info.count))
            let read = gradients ? loravk_adapter_read_gradient : loravk_adapter_read_parameter
            try check(read(pointer, index, &values, values.count))
            return values
        }
    }
}

/// Token ids below `vocabulary`, always the same.
func someTokens(_ count: Int, seed: UInt64 = 3, below vocabulary: Int32 = 200) -> [Int32] {
    var random = RandomValues(seed: seed)
    return (0..<count).map { _ in Int32.random(in: 0..<vocabulary, using: &random) }
}

private func withOptionalCString<R>(_ text: String?, _ body: (UnsafePointer<CChar>?) throws -> R) rethrows
    -> R
{
    guard let text else { return try body(nil) }
    return try text.withCString(body)
}

func withTemporaryFolder<Result>(_ body: (String) throws -> Result) throws -> Result {
    let folder = FileManager.default.temporaryDirectory.path + "/loravk-c-" + UUID().uuidString
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    return try body(folder)
}

/// What `body` gives on `count` threads at once, by their numbers.
func onThreads<Result: Sendable>(_ count: Int, _ body: @escaping @Sendable (Int) throws -> Result) throws
    -> [Result]
{
    let done = NSCondition()
    nonisolated(unsafe) var results: [Int: Swift.Result<Result, any Error>] = [:]
    for index in 0..<count {
        let thread = Thread {
            let result = Swift.Result { try body(index) }
            done.withLock {
                results[index] = result
                done.signal()
            }
        }
        thread.stackSize = 8 << 20
        thread.start()
    }
    return try done.withLock {
        while results.count < count { done.wait() }
        return try (0..<count).compactMap { try results[$0]?.get() }
    }
}
