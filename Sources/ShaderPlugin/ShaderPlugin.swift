// Compiles every Shaders/**/*.comp of the package while it builds: one command a file, whose inputs are the file
// and everything it includes, so that a change rebuilds what depends on it and nothing else.

import Foundation
import PackagePlugin

@main
struct ShaderPlugin: BuildToolPlugin {
    func createBuildCommands(context: PluginContext, target: Target) throws -> [Command] {
        let root = context.package.directoryURL.appending(path: "Shaders")
        let compiler = try context.tool(named: "ShaderCompiler").url
        return try sources(under: root).map { source in
            let name = source.deletingPathExtension().lastPathComponent
            let output = context.pluginWorkDirectoryURL.appending(path: "\(name).swift")
            return .buildCommand(
                displayName: "Compiling shader \(source.lastPathComponent)",
                executable: compiler,
                arguments: [root.path, source.path, output.path],
                inputFiles: try [source] + included(by: source, root: root),
                outputFiles: [output])
        }
    }

    private func sources(under root: URL) throws -> [URL] {
        guard let files = FileManager.default.enumerator(at: root, includingPropertiesForKeys: nil) else {
            throw PluginFailure(description: "cannot list \(root.path)")
        }
        return files.compactMap { $0 as? URL }
            .filter { $0.pathExtension == "comp" }
            .sorted { $0.path < $1.path }
    }

    /// Files reached by `#include "…"` from `source`, each once, relative to the shader root.
    private func included(by source: URL, root: URL) throws -> [URL] {
        var found: [URL] = []
        var pending = [source]
        while let file = pending.popLast() {
            for line in try String(contentsOf: file, encoding: .utf8).split(separator: "\n")
            where line.hasPrefix("#include \"") {
                let parts = line.split(separator: "\"", omittingEmptySubsequences: false)
                let include = root.appending(path: String(parts[1]))
                if !found.contains(include) {
                    found.append(include)
                    pending.append(include)
                }
            }
        }
        return found
    }
}

struct PluginFailure: Error, CustomStringConvertible {
    let description: String
}
