// GLSL to SPIR-V 1.3 (Vulkan 1.1) through libshaderc.

import CShaderc
import Foundation

final class GLSLCompiler {
    private let compiler: shaderc_compiler_t
    private let includeRoot: String

    init(includeRoot: String) throws {
        guard let compiler = shaderc_compiler_initialize() else {
            throw CompileFailure(description: "error: libshaderc did not start")
        }
        self.compiler = compiler
        self.includeRoot = includeRoot
    }

    deinit { shaderc_compiler_release(compiler) }

    func compile(_ text: String, file: String, defines: [String], optimized: Bool) throws -> [UInt8] {
        guard let options = shaderc_compile_options_initialize() else {
            throw CompileFailure(description: "error: libshaderc gave no options")
        }
        defer { shaderc_compile_options_release(options) }
        let version = UInt32(shaderc_env_version_vulkan_1_1.rawValue)
        shaderc_compile_options_set_target_env(options, shaderc_target_env_vulkan, version)
        shaderc_compile_options_set_optimization_level(
            options, optimized ? shaderc_optimization_level_performance : shaderc_optimization_level_zero)
        if !optimized { shaderc_compile_options_set_generate_debug_info(options) }
        shaderc_compile_options_set_warnings_as_errors(options)
        for name in defines {
            shaderc_compile_options_add_macro_definition(options, name, name.utf8.count, "1", 1)
        }
        let root = Unmanaged.passUnretained(self).toOpaque()
        shaderc_compile_options_set_include_callbacks(options, resolveInclude, releaseInclude, root)

        guard
            let result = shaderc_compile_into_spv(
                compiler, text, text.utf8.count, shaderc_compute_shader, file, "main", options)
        else { throw CompileFailure(description: "\(file): error: libshaderc gave no result") }
        defer { shaderc_result_release(result) }
        guard shaderc_result_get_compilation_status(result) == shaderc_compilation_status_success else {
            throw CompileFailure(description: String(cString: shaderc_result_get_error_message(result)))
        }
        let bytes = UnsafeRawPointer(shaderc_result_get_bytes(result))
        return [UInt8](UnsafeRawBufferPointer(start: bytes, count: shaderc_result_get_length(result)))
    }

    fileprivate func include(_ name: String) -> (path: String, content: String) {
        let path = includeRoot + "/" + name
        // An empty path tells shaderc that the content is the error message.
        guard let content = try? String(contentsOfFile: path, encoding: .utf8) else {
            return ("", "cannot read \(path)")
        }
        return (path, content)
    }
}

private let resolveInclude: shaderc_include_resolve_fn = { user, requested, _, _, _ in
    let result = UnsafeMutablePointer<shaderc_include_result>.allocate(capacity: 1)
    guard let user, let requested else { return nil }
    let compiler = Unmanaged<GLSLCompiler>.fromOpaque(user).takeUnretainedValue()
    let (path, content) = compiler.include(String(cString: requested))
    result.initialize(
        to: shaderc_include_result(
            source_name: UnsafePointer(strdup(path)), source_name_length: path.utf8.count,
            content: UnsafePointer(strdup(content)), content_length: content.utf8.count, user_data: nil))
    return result
}

private let releaseInclude: shaderc_include_result_release_fn = { _, result in
    guard let result else { return }
    free(UnsafeMutablePointer(mutating: result.pointee.source_name))
    free(UnsafeMutablePointer(mutating: result.pointee.content))
    result.deallocate()
}
