// usage: ShaderCompiler SHADER_ROOT SOURCE.comp OUTPUT.swift
// Compiles one GLSL compute shader in all its variants to optimised SPIR-V and writes the Swift that embeds them,
// with the facts (bindings, access, push constants, specialization constants) read from the SPIR-V itself.

import Foundation

guard CommandLine.arguments.count == 4 else {
    fail("usage: ShaderCompiler SHADER_ROOT SOURCE.comp OUTPUT.swift")
}
let (root, source, output) = (
    CommandLine.arguments[1], CommandLine.arguments[2], CommandLine.arguments[3]
)

do {
    let text = try String(contentsOfFile: source, encoding: .utf8)
    let axes = try VariantAxis.parse(text, file: source)
    let compiler = try GLSLCompiler(includeRoot: root)
    let variants = try VariantAxis.combinations(axes).map { values in
        let defines = zip(axes, values).map { "\($0.name)_\($1)" }
        func compile(optimized: Bool) throws -> [UInt8] {
            let spirv = try compiler.compile(text, file: source, defines: defines, optimized: optimized)
            return try CooperativeMatrices.khronos(spirv, file: source)
        }
        let (debug, code) = (try compile(optimized: false), try compile(optimized: true))
        return CompiledVariant(values: values, code: code, facts: try ShaderFacts(spirv: debug, file: source))
    }
    let name = URL(fileURLWithPath: source).deletingPathExtension().lastPathComponent
    let swift = SwiftWriter(shaderName: name, axes: axes).write(variants)
    try swift.write(toFile: output, atomically: true, encoding: .utf8)
} catch {
    fail("\(error)")
}

func fail(_ message: String) -> Never {
    FileHandle.standardError.write(Data((message + "\n").utf8))
    exit(1)
}

struct CompileFailure: Error, CustomStringConvertible {
    let description: String
}
