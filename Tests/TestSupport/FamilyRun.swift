// Where a kernel test runs: one device and one family of kernels. Outputs begin dirty (NaN) and lie before guard words,
// so that what a kernel leaves out, reads by mistake or writes too far shows.

import Kernels
import VulkanCompute

package struct FamilyRun: Sendable, CustomStringConvertible {
    package let device: Device
    package let family: Shader.Family
    package let description: String
    /// A name of what large products run on, where it is not the family.
    private let special: String?
    /// Sums are not shared out over workgroups, as where a GPU is full without that.
    private var keepsSumsWhole = false

    private static let guardCount = 64
    private static let guardValue: Float = 12345.675

    /// The device in every family it can run, with its own limits and with tiny ones.
    package static func all() throws -> [FamilyRun] {
        try [(TestDevices.main, ""), (TestDevices.smallLimits, ", small limits")].flatMap { device, note in
            device.families.map { FamilyRun(device: device, family: $0, description: "\($0)\(note)") }
        }
    }

    /// These, the family `shared` with whole sums (tests' shapes fill no GPU, so that elsewhere it cuts them into parts), and products by
    /// the host, where it is the device.
    package static func ofProducts() throws -> [FamilyRun] {
        let device = try TestDevices.main
        var whole = FamilyRun(device: device, family: .shared, description: "shared, whole sums")
        whole.keepsSumsWhole = true
        let host = FamilyRun(device: device, special: Capabilities.hostProducts, description: "host")
        return try all() + [whole] + (device.capabilities.sharesHostMemory ? [host] : [])
    }

    /// For what a device with tiny limits cannot hold in one binding.
    package static func ownLimits() throws -> [FamilyRun] {
        let device = try TestDevices.main
        return device.families.map { FamilyRun(device: device, family: $0, description: "\($0)") }
    }

    /// The family `shared` with products of frozen weights on matrix units.
    package init(onMatrixUnitsOf device: Device) {
        self.init(device: device, special: Capabilities.matrixUnits, description: "matrix units")
    }

    private init(device: Device, special: String, description: String) {
        let family = special == Capabilities.matrixUnits ? Shader.Family.shared : device.capabilities.family
        (self.device, self.family, self.special, self.description) = (device, family, special, description)
    }

    private init(device: Device, family: Shader.Family, description: String) {
        (self.device, self.family, self.description) = (device, family, description)
        special = nil
    }

    package func run(_ body: (CommandEncoder) throws -> Void) throws {
        let encoder = try CommandEncoder(device)
        if let special {
            encoder.tuning.family = special
            encoder.capabilities.leastHostFlops = 0
        } else {
            encoder.family = family
        }
        if keepsSumsWhole { encoder.capabilities.fillingWorkgroups = 1 }
        try body(encoder)
        try encoder.finish().run()
        if let message = device.instance.validationMessages.first { throw TestFailure(description: message) }
    }

    package func input(_ values: [Float], _ shape: [Int]) throws -> Tensor {
        try device.makeTensor(values, shape)
    }
    package func input(_ values: [Int32], _ shape: [Int]) throws -> Tensor {
        try device.makeTensor(values, shape)
    }

    package func output(_ shape: [Int], dtype: DType = .f32) throws -> Tensor {
        try output([Float](repeating: .nan, count: shape.reduce(1, *)), shape, dtype: dtype)
    }

    /// A destination that begins with `values`, for what accumulates.
    package func output(_ values: [Float], _ shape: [Int], dtype: DType = .f32) throws -> Tensor {
        let whole = try device.makeBuffer(byteCount: (values.count + Self.guardCount) * 4, label: "output")
            .slice()
        try device.upload(values + [Float](repeating: Self.guardValue, count: Self.guardCount), into: whole)
        return Tensor(whole, shape: shape, dtype: dtype)
    }

    package func values(_ output: Tensor) throws -> [Float] { try words(output) }
    package func integers(_ output: Tensor) throws -> [Int32] { try words(output) }

    private func words<Word: BitwiseCopyable>(_ output: Tensor) throws -> [Word] {
        let buffer = output.slice.buffer
        let guards = try device.download(
            buffer.slice(output.byteCount, byteCount: Self.guardCount * 4), as: Float.self)
        guard guards.allSatisfy({ $0 == Self.guardValue }) else {
            throw TestFailure(description: "something was written behind the \(output.shape) output")
        }
        return try device.download(output.slice, as: Word.self)
    }
}

package struct TestFailure: Error, CustomStringConvertible {
    package let description: String
    package init(description: String) { self.description = description }
}
