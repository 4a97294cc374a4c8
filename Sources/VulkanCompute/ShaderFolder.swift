// LORAVK_SHADERS=Shaders: shaders whose text there is another than at the build are compiled anew when the program first uses them, so
// that an edit is seen without building. The compiler is the one of the build, a program of its own: nothing is linked.

import ShaderText
import Synchronization

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif
#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

package final class ShaderFolder: Sendable {
    private let root: String
    private let compiler: String
    private let compiled = Mutex<[String: Shader?]>([:])

    /// nil where LORAVK_SHADERS is not set.
    package static let environment: ShaderFolder? = DebugOptions.environment.shaders.map {
        ShaderFolder($0, compiler: DebugOptions.environment.shaderCompiler ?? besideProgram)
    }

    package init(_ root: String, compiler: String) { (self.root, self.compiler) = (root, compiler) }

    /// A build leaves the compiler in its folder, beside the program.
    package static var besideProgram: String {
        var name = [CChar](repeating: 0, count: 4096)
        let count = max(0, readlink("/proc/self/exe", &name, name.count - 1))
        let path = String(decoding: name.prefix(count).map { UInt8(bitPattern: $0) }, as: UTF8.self)
        let folder = path.prefix(upTo: path.lastIndex(of: "/") ?? path.startIndex)
        return "\(folder)/ShaderCompiler-tool"
    }

    /// A variant of `path` as the folder has it now; nil where that is what was built. One that does not compile is the built one
    /// with the compiler's words, which making its pipeline throws.
    package func shader(_ path: String, _ values: [String], fingerprint: UInt64, built: Shader) -> Shader? {
        compiled.withLock { compiled in
            let key = "\(path) \(values.joined(separator: " "))"
            if let shader = compiled[key] { return shader }
            let shader = compile(path, values, fingerprint, built)
            compiled[key] = .some(shader)
            return shader
        }
    }

    private func compile(_ path: String, _ values: [String], _ fingerprint: UInt64, _ built: Shader)
        -> Shader?
    {
        if ShaderText(path, root: root)?.fingerprint == fingerprint { return nil }
        guard access(compiler, X_OK) == 0 else {
            return Shader(
                built,
                failure:
                    "\(root)/\(path) was edited, and there is no compiler \(compiler); build with `swift build`, or name "
                    + "it by LORAVK_SHADER_COMPILER")
        }
        let (status, output) = run([compiler, root, "\(root)/\(path)", "--variant"] + values)
        guard status == 0, let shader = Shader(name: built.name, compiled: output) else {
            return Shader(
                built, failure: output.isEmpty ? "\(compiler) failed with status \(status)" : output)
        }
        return shader
    }

    /// What a program says on both of its streams.
    private func run(_ words: [String]) -> (status: Int32, output: String) {
        var ends: [Int32] = [0, 0]
        guard pipe(&ends) == 0 else { return (errno, "there is no pipe to \(compiler)") }
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        for stream: Int32 in [1, 2] { posix_spawn_file_actions_adddup2(&actions, ends[1], stream) }
        posix_spawn_file_actions_addclose(&actions, ends[0])
        var arguments: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) } + [nil]
        defer { for argument in arguments { free(argument) } }
        var child = pid_t()
        var environment: [UnsafeMutablePointer<CChar>?] = [nil]
        let code = posix_spawn(&child, compiler, &actions, nil, &arguments, &environment)
        close(ends[1])
        defer { close(ends[0]) }
        guard code == 0 else {
            return (code, "\(compiler) cannot be run: \(String(cString: strerror(code)))")
        }
        var (bytes, buffer) = ([UInt8](), [UInt8](repeating: 0, count: 1 << 16))
        while true {
            let count = read(ends[0], &buffer, buffer.count)
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else { break }
            bytes += buffer.prefix(count)
        }
        var status: Int32 = 0
        while waitpid(child, &status, 0) < 0 && errno == EINTR {}
        return (status, String(decoding: bytes, as: UTF8.self))
    }
}

extension Shader {
    /// As `ShaderCompiler … --variant` prints it: a fact a line, then the code.
    convenience init?(name: String, compiled text: String) {
        var (bindings, constants): ([Binding], [String: UInt32]) = ([], [:])
        var (capabilities, pushByteCount, code): ([UInt32], Int?, [UInt8]?) = ([], nil, nil)
        for line in text.split(separator: "\n") {
            let words = line.split(separator: " ").map(String.init)
            switch words.first {
            case "push" where words.count == 2: pushByteCount = Int(words[1])
            case "binding" where words.count == 5:
                bindings.append(
                    Binding(
                        name: words[1], spirvImageFormat: UInt32(words[2]), readable: words[3] == "true",
                        writable: words[4] == "true"))
            case "constant" where words.count == 3: constants[words[1]] = UInt32(words[2])
            case "capability" where words.count == 2: capabilities += UInt32(words[1]).map { [$0] } ?? []
            case "code" where words.count == 2: code = Data(base64Encoded: words[1]).map { [UInt8]($0) }
            default: return nil
            }
        }
        guard let pushByteCount, let code else { return nil }
        self.init(
            name: name, bindings: bindings, pushByteCount: pushByteCount, specializationIDs: constants,
            spirvCapabilities: capabilities, spirv: code)
    }
}
