// `//! variants NAME = A B C` in a shader: one build per value, with the macro NAME_A (…) defined.

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
}
