// What every call does around its work: errors become a status and this thread's text; what comes in is checked, since a trap
// here would end the host's process.

import CLoRAVK
import Glibc

/// The process of the first call: a child of fork() has the library's memory, but not its threads and device.
private let firstProcess = getpid()
var isForkedChild: Bool { getpid() != firstProcess }

/// More than any address space has: a count above is a mistake, and one below is the caller's word.
private let addressableBytes = 1 << 48

func call(_ body: () throws -> Void) -> loravk_status {
    let status = keepingLastError(body)
    if status == LORAVK_OK { LastError.clear() }
    return status
}

/// A call that leaves the last error where it succeeds.
func keepingLastError(_ body: () throws -> Void) -> loravk_status {
    do {
        guard !isForkedChild else {
            throw APIError(
                LORAVK_ERROR_FORKED,
                "this process was forked after LoRA-VK's first call in process \(firstProcess): use it in one of the two"
            )
        }
        Logs.start()
        try body()
        return loravk_status(LORAVK_OK)
    } catch {
        let failure = Failure(error)
        LastError.set(failure)
        return failure.status
    }
}

// MARK: What comes in

func required<T>(_ pointer: UnsafePointer<T>?, _ name: String) throws -> UnsafePointer<T> {
    guard let pointer else { throw APIError.argument("\(name) is NULL") }
    return pointer
}

func required<T>(_ pointer: UnsafeMutablePointer<T>?, _ name: String) throws -> UnsafeMutablePointer<T> {
    guard let pointer else { throw APIError.argument("\(name) is NULL") }
    return pointer
}

func text(_ pointer: UnsafePointer<CChar>?, _ name: String) throws -> String {
    guard let text = try optionalText(pointer, name) else { throw APIError.argument("\(name) is NULL") }
    return text
}

func optionalText(_ pointer: UnsafePointer<CChar>?, _ name: String) throws -> String? {
    guard let pointer else { return nil }
    guard let text = String(validatingCString: pointer) else {
        throw APIError.argument("\(name) is not UTF-8")
    }
    return text
}

func texts(_ pointers: UnsafePointer<UnsafePointer<CChar>?>?, _ count: Int, _ name: String) throws -> [String]
{
    try array(pointers, count, name).enumerated().map { try text($1, "\(name)[\($0)]") }
}

/// An array of the caller's; NULL only where it is empty.
func array<T>(_ pointer: UnsafePointer<T>?, _ count: Int, _ name: String) throws -> UnsafeBufferPointer<T> {
    guard (0...addressableBytes / MemoryLayout<T>.stride).contains(count) else {
        throw APIError.argument("\(name) cannot have \(UInt(bitPattern: count)) elements")
    }
    if count == 0 { return UnsafeBufferPointer(start: nil, count: 0) }
    return UnsafeBufferPointer(start: try required(pointer, name), count: count)
}

/// Of three numbers that the caller says are one array's: their product.
func product(_ factors: [Int], _ name: String) throws -> Int {
    var result = 1
    for factor in factors {
        let (next, overflow) = result.multipliedReportingOverflow(by: factor)
        guard factor >= 0, !overflow else {
            let sizes = factors.map { "\(UInt(bitPattern: $0))" }.joined(separator: ", ")
            throw APIError.argument("\(name) cannot have the shape (\(sizes))")
        }
        result = next
    }
    return result
}

// MARK: Versioned structs

/// A struct of loravk.h that begins with `struct_size`. Fields are only ever appended.
protocol VersionedStruct {
    /// The size in the first version that had it.
    static var firstSize: Int { get }
    static var structName: String { get }
    static var defaults: Self { get }
    init()
    var struct_size: Int { get set }
}

extension VersionedStruct {
    static var defaults: Self { Self() }
}

/// The caller's configuration over the defaults: a caller of an older version has a shorter one.
func read<Config: VersionedStruct>(
    _ pointer: UnsafePointer<Config>?, defaults: Config
) throws -> Config {
    guard let pointer else { return defaults }
    let size = try checkedSize(UnsafeRawPointer(pointer), Config.self)
    let ours = MemoryLayout<Config>.size
    let bytes = UnsafeRawBufferPointer(start: pointer, count: size)
    guard bytes.dropFirst(ours).allSatisfy({ $0 == 0 }) else {
        throw APIError.argument(
            "\(Config.structName) has \(size) bytes with settings that this version (\(ours) bytes) does not know: "
                + "use a newer library")
    }
    var config = defaults
    withUnsafeMutableBytes(of: &config) {
        $0.copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes.prefix(ours)))
    }
    return config
}

/// Writes a result up to the caller's size.
func write<Result: VersionedStruct>(_ value: Result, to pointer: UnsafeMutablePointer<Result>?) throws {
    let pointer = try required(pointer, Result.structName)
    let size = try checkedSize(UnsafeRawPointer(pointer), Result.self)
    var value = value
    value.struct_size = size
    withUnsafeBytes(of: value) { bytes in
        UnsafeMutableRawPointer(pointer).copyMemory(
            from: bytes.baseAddress!, byteCount: min(size, bytes.count))
    }
}

/// Wrong room for a result is told before a call does anything.
func checkRoom<Result: VersionedStruct>(_ pointer: UnsafeMutablePointer<Result>?) throws {
    if let pointer { _ = try checkedSize(UnsafeRawPointer(pointer), Result.self) }
}

/// A result that the caller may not want.
func give<Result: VersionedStruct>(_ value: Result, to pointer: UnsafeMutablePointer<Result>?) throws {
    if let pointer { try write(value, to: pointer) }
}

/// From the first version's size on; later ones are longer, but not by so much.
func isPossible<T: VersionedStruct>(_ size: Int, _ type: T.Type) -> Bool {
    (T.firstSize...65536).contains(size)
}

private func checkedSize<T: VersionedStruct>(_ pointer: UnsafeRawPointer, _ type: T.Type) throws -> Int {
    let size = pointer.loadUnaligned(as: Int.self)
    guard isPossible(size, T.self) else {
        throw APIError.argument(
            "\(T.structName).struct_size is \(UInt(bitPattern: size)); begin with its _INIT macro or _init function, which sets it to \(MemoryLayout<T>.size)"
        )
    }
    return size
}
