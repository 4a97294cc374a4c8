// Handles are numbers in the clothes of pointers: a table says what each stands for, so that NULL, released and wrong kinds
// of handles are errors and never a crash. What a handle stands for holds on to what it needs, so any release order is legal.

import CLoRAVK
import Synchronization

/// Something with a handle. Thread-safe by its context's lock.
protocol HandleObject: AnyObject, Sendable {
    /// With its article: "a tensor".
    static var kind: String { get }
}

enum Handles {
    private struct Table {
        var objects: [UInt: any HandleObject] = [:]
        var serial: UInt = 0
    }
    private static let table = Mutex(Table())

    /// A number that was never used before; the low bits hold a trainer's stop flag (see StopFlags).
    static func add(_ object: any HandleObject, slot: Int = 0) -> OpaquePointer? {
        table.withLock { table in
            table.serial += 1
            let handle = table.serial << StopFlags.bits | UInt(slot) << 4
            table.objects[handle] = object
            return OpaquePointer(bitPattern: handle)
        }
    }

    static func object<Object: HandleObject>(_ handle: OpaquePointer?, _ type: Object.Type, _ name: String)
        throws -> Object
    {
        guard let handle else {
            throw APIError(LORAVK_ERROR_INVALID_HANDLE, "\(name) is NULL; expected \(Object.kind)")
        }
        guard let object = table.withLock({ $0.objects[UInt(bitPattern: handle)] }) else {
            throw APIError(
                LORAVK_ERROR_INVALID_HANDLE,
                "\(name) is not a handle: it was released, or never \(Object.kind)")
        }
        guard let object = object as? Object else {
            throw APIError(
                LORAVK_ERROR_INVALID_HANDLE,
                "\(name) is \(Swift.type(of: object).kind); expected \(Object.kind)")
        }
        return object
    }

    /// Does nothing for what is not a handle of this type, and in a forked child, which has the handles but not the device.
    @discardableResult
    static func release<Object: HandleObject>(_ handle: OpaquePointer?, _ type: Object.Type) -> Object? {
        guard let handle, !isForkedChild else { return nil }
        // What goes is destroyed after the lock is free.
        return table.withLock { table in
            let key = UInt(bitPattern: handle)
            guard let object = table.objects[key] as? Object else { return nil }
            table.objects[key] = nil
            return object
        }
    }

    static var count: Int { table.withLock { $0.objects.count } }
}

/// Gives the caller a handle; checked before anything is made.
struct Output {
    private let pointer: UnsafeMutablePointer<OpaquePointer?>

    init(_ pointer: UnsafeMutablePointer<OpaquePointer?>?, _ name: String) throws {
        self.pointer = try required(pointer, name)
    }

    @discardableResult
    func give(_ object: any HandleObject, slot: Int = 0) -> OpaquePointer? {
        let handle = Handles.add(object, slot: slot)
        pointer.pointee = handle
        return handle
    }
}

/// Flags that stop a run. A signal handler may set one: no lock, no allocation, only loads and stores of a table that is as old
/// as the first trainer. A slot belongs to the handle that is written in it.
enum StopFlags {
    static let capacity = 1024
    /// Bits of a handle below its serial number.
    static let bits: UInt = 14

    private struct Slot: ~Copyable {
        let owner = Atomic<UInt>(0)
        let stop = Atomic<Bool>(false)
    }
    // Plain memory, for a signal handler to reach without the runtime's help.
    private nonisolated(unsafe) static let slots: UnsafeMutablePointer<Slot> = {
        let slots = UnsafeMutablePointer<Slot>.allocate(capacity: capacity)
        for index in 0..<capacity { (slots + index).initialize(to: Slot()) }
        return slots
    }()
    private static let free = Mutex(Array((1..<capacity).reversed()))

    static func take() throws -> Int {
        guard let slot = free.withLock({ $0.popLast() }) else {
            throw APIError(
                LORAVK_ERROR_OUT_OF_MEMORY, "there are \(capacity - 1) trainers already; release some")
        }
        return slot
    }

    static func give(_ slot: Int) {
        slots[slot].owner.store(0, ordering: .sequentiallyConsistent)
        free.withLock { $0.append(slot) }
    }

    static func begin(_ slot: Int, owner: OpaquePointer?) {
        slots[slot].stop.store(false, ordering: .sequentiallyConsistent)
        slots[slot].owner.store(UInt(bitPattern: owner), ordering: .sequentiallyConsistent)
    }

    static func request(_ handle: OpaquePointer?) {
        let handle = UInt(bitPattern: handle)
        let slot = Int(handle >> 4) & (capacity - 1)
        guard slot != 0, slots[slot].owner.load(ordering: .sequentiallyConsistent) == handle else { return }
        slots[slot].stop.store(true, ordering: .sequentiallyConsistent)
    }

    static func isRequested(_ slot: Int) -> Bool { slots[slot].stop.load(ordering: .sequentiallyConsistent) }
    static func clear(_ slot: Int) { slots[slot].stop.store(false, ordering: .sequentiallyConsistent) }
}
