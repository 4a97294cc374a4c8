// `//! variants NAME = A B C` in a shader: one build per value, with the macro NAME_A (…) defined.

import Foundation

struct VariantAxis {
    let name: String
    let values: [String]

    static func parse(_ text: String, file: String) throws -> [VariantAxis] {
        try text.split(separator: "\n").filter { $0.hasPrefix("//! variants ") }.map { line in
            let sides = line.dropFirst("//! variants ".count).split(separator: "=")
            guard sides.count == 2, let name = sides[0].split(separator: " ").first else {
                throw CompileFailure(
                    description: "\(file): error: '\(line)' is not '//! variants NAME = A B C'")
            }
            return VariantAxis(name: String(name), values: sides[1].split(separator: " ").map(String.init))
        }
    }

    static func combinations(_ axes: [VariantAxis]) -> [[String]] {
        axes.reduce([[]]) { rows, axis in rows.flatMap { row in axis.values.map { row + [$0] } } }
    }
}

struct CompiledVariant {
    let values: [String]
    let code: [UInt8]
    let facts: ShaderFacts

    /// A fact a line, then the code: `Shader.init(name:compiled:)` reads them.
    var lines: String {
        var lines = ["push \(facts.pushByteCount)"]
        for binding in facts.bindings {
            let format = binding.imageFormat.map(String.init) ?? "-"
            lines.append("binding \(binding.name) \(format) \(binding.readable) \(binding.writable)")
        }
        lines += facts.specialization.map { "constant \($0.name) \($0.id)" }
        lines += facts.capabilities.map { "capability \($0)" }
        lines.append("code \(Data(code).base64EncodedString())")
        return lines.joined(separator: "\n")
    }
}
