// A compiled compute shader with the facts that dispatching it needs. Instances are generated from Shaders/.

import CVulkan

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

package final class Shader: Sendable {
    package struct Binding: Sendable {
        package let name: String
        package let readable: Bool
        package let writable: Bool
        /// nil: a storage buffer; otherwise a storage texel buffer of this format.
        let texelFormat: VkFormat?

        package init(name: String, spirvImageFormat: UInt32?, readable: Bool, writable: Bool) {
            self.name = name
            self.readable = readable
            self.writable = writable
            texelFormat = spirvImageFormat.map(Self.format)
        }

        /// SPIR-V's image formats (specification 3.11) under Vulkan's names.
        private static func format(_ spirv: UInt32) -> VkFormat {
            switch spirv {
            case 1: VK_FORMAT_R32G32B32A32_SFLOAT
            case 2: VK_FORMAT_R16G16B16A16_SFLOAT
            case 3: VK_FORMAT_R32_SFLOAT
            case 4: VK_FORMAT_R8G8B8A8_UNORM
            case 5: VK_FORMAT_R8G8B8A8_SNORM
            case 6: VK_FORMAT_R32G32_SFLOAT
            case 7: VK_FORMAT_R16G16_SFLOAT
            case 9: VK_FORMAT_R16_SFLOAT
            case 21: VK_FORMAT_R32G32B32A32_SINT
            case 22: VK_FORMAT_R16G16B16A16_SINT
            case 23: VK_FORMAT_R8G8B8A8_SINT
            case 24: VK_FORMAT_R32_SINT
            case 25: VK_FORMAT_R32G32_SINT
            case 30: VK_FORMAT_R32G32B32A32_UINT
            case 31: VK_FORMAT_R16G16B16A16_UINT
            case 32: VK_FORMAT_R8G8B8A8_UINT
            case 33: VK_FORMAT_R32_UINT
            case 35: VK_FORMAT_R32G32_UINT
            default:
                preconditionFailure("texel format \(spirv) is not mapped; add it to Shader.Binding.format")
            }
        }
    }

    package let name: String
    package let bindings: [Binding]
    package let pushByteCount: Int
    let specializationIDs: [String: UInt32]
    let spirvCapabilities: [UInt32]
    private let code: Code
    /// Why there is no code to run, where an edited shader does not compile.
    let failure: String?

    private enum Code: Sendable {
        case base64(StaticString)
        case bytes([UInt8])
    }

    package init(
        name: String, bindings: [Binding], pushByteCount: Int, specializationIDs: [String: UInt32],
        spirvCapabilities: [UInt32], base64: StaticString
    ) {
        self.name = name
        self.bindings = bindings
        self.pushByteCount = pushByteCount
        self.specializationIDs = specializationIDs
        self.spirvCapabilities = spirvCapabilities
        code = .base64(base64)
        failure = nil
    }

    /// A shader that was not built in: benchmarks run other SPIR-V beside ours, `ShaderFolder` edited ones.
    package init(
        name: String, bindings: [Binding], pushByteCount: Int, specializationIDs: [String: UInt32] = [:],
        spirvCapabilities: [UInt32] = [], spirv: [UInt8]
    ) {
        self.name = name
        self.bindings = bindings
        self.pushByteCount = pushByteCount
        self.specializationIDs = specializationIDs
        self.spirvCapabilities = spirvCapabilities
        code = .bytes(spirv)
        failure = nil
    }

    /// One that is recorded as `shader` is and cannot be run.
    init(_ shader: Shader, failure: String) {
        (name, bindings, pushByteCount) = (shader.name, shader.bindings, shader.pushByteCount)
        (specializationIDs, spirvCapabilities) = (shader.specializationIDs, shader.spirvCapabilities)
        (code, self.failure) = (shader.code, failure)
    }

    var spirv: [UInt8] {
        switch code {
        case .bytes(let bytes): return bytes
        case .base64(let text):
            guard let data = Data(base64Encoded: Data(bytes: text.utf8Start, count: text.utf8CodeUnitCount))
            else {
                preconditionFailure("the embedded code of shader \(name) is not base64")
            }
            return [UInt8](data)
        }
    }

    private static let cooperativeMatrices: UInt32 = 6022
    var usesMatrixUnits: Bool { spirvCapabilities.contains(Self.cooperativeMatrices) }

    var texelBufferCount: Int { bindings.count { $0.texelFormat != nil } }
    var storageBufferCount: Int { bindings.count - texelBufferCount }

    /// What the device lacks to run this shader, as words; nil when it can.
    package func missing(on capabilities: Capabilities) -> String? {
        if pushByteCount > capabilities.maxPushConstants {
            return "\(pushByteCount) bytes of push constants (it has \(capabilities.maxPushConstants))"
        }
        if storageBufferCount > capabilities.maxStorageBuffers {
            return
                "\(storageBufferCount) storage buffers (it allows a kernel \(capabilities.maxStorageBuffers))"
        }
        if texelBufferCount > capabilities.maxTexelBuffers {
            return "\(texelBufferCount) texel buffers (it allows a kernel \(capabilities.maxTexelBuffers))"
        }
        if bindings.count > capabilities.maxBindings {
            return "\(bindings.count) bindings (it allows a kernel \(capabilities.maxBindings))"
        }
        if !capabilities.texelBuffers, bindings.contains(where: { $0.texelFormat != nil }) {
            return "storage texel buffers"
        }
        for capability in spirvCapabilities {
            switch capability {
            case Self.cooperativeMatrices where capabilities.cooperativeMatrix == nil:
                return "cooperative matrices"
            case 11 where !capabilities.int64: return "64-bit integers"
            case 49 where !capabilities.extendedTexelFormats: return "extended texel formats"
            case 63 where !capabilities.subgroupArithmetic: return "subgroup arithmetic"
            case 65 where !capabilities.subgroupShuffle: return "subgroup shuffle"
            default: continue
            }
        }
        return nil
    }
}
