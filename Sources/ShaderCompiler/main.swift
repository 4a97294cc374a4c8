// usage: ShaderCompiler SHADER_ROOT SOURCE.comp OUTPUT.swift
//        ShaderCompiler SHADER_ROOT SOURCE.comp --variant VALUE…
// Compiles one GLSL compute shader in all its variants to optimised SPIR-V and writes the Swift that embeds them,
// with the facts (bindings, access, push constants, specialization constants) read from the SPIR-V itself. Or prints
// the facts and the code of one variant, for programs that run with LORAVK_SHADERS.

import Foundation
import ShaderText

let usage = "usage: ShaderCompiler SHADER_ROOT SOURCE.comp OUTPUT.swift | --variant VALUE…"
guard CommandLine.arguments.count >= 4 else { fail(usage) }
let (root, source, output) = (
    CommandLine.arguments[1], CommandLine.arguments[2], CommandLine.arguments[3]
)

do {
    let text = try String(contentsOfFile: source, encoding: .utf8)
    let axes = try VariantAxis.parse(text, file: source)
    let compiler = try GLSLCompiler(includeRoot: root)
    func compiled(_ values: [String]) throws -> CompiledVariant {
        let defines = zip(axes, values).map { "\($0.name)_\($1)" }
        func compile(optimized: Bool) throws -> [UInt8] {
            let spirv = try compiler.compile(text, file: source, defines: defines, optimized: optimized)
            return try CooperativeMatrices.khronos(spirv, file: source)
        }
        let (debug, code) = (try compile(optimized: false), try compile(optimized: true))
        return CompiledVariant(values: values, code: code, facts: try ShaderFacts(spirv: debug, file: source))
    }
    let name = URL(fileURLWithPath: source).deletingPathExtension().lastPathComponent
    if output == "--variant" {
        let wanted = CommandLine.arguments.dropFirst(4).map { $0.uppercased() }
        guard VariantAxis.combinations(axes).contains(wanted) else {
            throw CompileFailure(
                description: "\(source): error: there is no variant \(wanted.joined(separator: " "))")
        }
        print(try compiled(wanted).lines)
    } else {
        guard CommandLine.arguments.count == 4 else { fail(usage) }
        let path = String(source.dropFirst(root.count).drop { $0 == "/" })
        guard let text = ShaderText(path, root: root) else {
            throw CompileFailure(description: "\(source): error: what it includes cannot be read")
        }
        let writer = SwiftWriter(shaderName: name, axes: axes, path: path, fingerprint: text.fingerprint)
        let swift = writer.write(try VariantAxis.combinations(axes).map(compiled))
        try swift.write(toFile: output, atomically: true, encoding: .utf8)
    }
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
