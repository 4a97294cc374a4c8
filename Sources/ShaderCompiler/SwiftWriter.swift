// The generated Swift: `Shader.layerNorm(family: .texel)` from layer_norm.comp with its variants.
// SPIR-V is embedded as base64 in a StaticString: an array literal of words takes the compiler seconds a shader.

import Foundation

struct SwiftWriter {
    let shaderName: String
    let axes: [VariantAxis]
    /// From the shaders' root.
    let path: String
    let fingerprint: UInt64

    func write(_ variants: [CompiledVariant]) -> String {
        let function = Self.camelCase(shaderName)
        let parameters = axes.map { "\(Self.camelCase($0.name.lowercased())): \(Self.typeName($0.name))" }
        let key = axes.map { "\(Self.camelCase($0.name.lowercased())).rawValue" }.joined(separator: ", ")
        return """
            // Generated from \(shaderName).comp.
            import VulkanCompute

            extension Shader {
                package static func \(function)(\(parameters.joined(separator: ", "))) -> Shader {
                    let values: [String] = [\(key)]
                    guard let shader = \(function)Variants[values] else {
                        preconditionFailure("\(shaderName).comp has no variant \\(values)")
                    }
                    return ShaderFolder.environment?.shader(
                        "\(path)", values, fingerprint: \(fingerprint), built: shader) ?? shader
                }
            }

            private let \(function)Variants: [[String]: Shader] = [
            \(variants.map(entry).joined(separator: "\n"))
            ]

            """
    }

    private func entry(_ variant: CompiledVariant) -> String {
        let facts = variant.facts
        let name = ([shaderName] + variant.values.map { $0.lowercased() }).joined(separator: "_")
        let key = variant.values.map { "\"\(Self.caseName($0))\"" }.joined(separator: ", ")
        let bindings = facts.bindings.map { binding in
            let format = binding.imageFormat.map(String.init) ?? "nil"
            return ".init(name: \"\(binding.name)\", spirvImageFormat: \(format), "
                + "readable: \(binding.readable), writable: \(binding.writable))"
        }
        let constants = facts.specialization.map { "\"\($0.name)\": \($0.id)" }.joined(separator: ", ")
        return """
                [\(key)]: Shader(
                    name: "\(name)",
                    bindings: [\(bindings.joined(separator: ", "))],
                    pushByteCount: \(facts.pushByteCount),
                    specializationIDs: [\(constants.isEmpty ? ":" : constants)],
                    spirvCapabilities: \(facts.capabilities),
                    base64: "\(Data(variant.code).base64EncodedString())"),
            """
    }

    static func camelCase(_ name: String) -> String {
        let words = name.split(separator: "_")
        return words.prefix(1).joined()
            + words.dropFirst().map { $0.prefix(1).uppercased() + $0.dropFirst() }.joined()
    }

    /// FAMILY → Family: the enum in Kernels whose cases are the axis's values in lower case.
    static func typeName(_ axis: String) -> String {
        let name = camelCase(axis.lowercased())
        return "Shader." + name.prefix(1).uppercased() + name.dropFirst()
    }

    static func caseName(_ value: String) -> String { value.lowercased() }
}
