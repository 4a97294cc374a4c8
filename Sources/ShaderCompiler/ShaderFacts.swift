// What the runtime must know of a shader, read from its SPIR-V: bindings with their access and texel format, the
// size of the push constant block, specialization constants, required capabilities.
// Reference: SPIR-V specification, unified 1.6, sections 2.3 (layout) and 3.52 (instructions).

struct ShaderFacts {
    struct Binding {
        var index: UInt32
        var name: String
        var imageFormat: UInt32?  // nil: a storage buffer
        var readable: Bool
        var writable: Bool
    }
    var bindings: [Binding] = []
    var pushByteCount = 0
    var specialization: [(name: String, id: UInt32)] = []
    var capabilities: [UInt32] = []

    init(spirv: [UInt8], file: String) throws {
        let module = try SPIRVModule(spirv, file: file)
        capabilities = module.capabilities
        specialization = module.decorations
            .compactMap { id, all in all[.specId].map { (module.names[id] ?? "constant\($0)", $0) } }
            .sorted { $0.id < $1.id }
        for variable in module.variables {
            guard let pointee = module.pointees[variable.type] else { continue }
            switch variable.storage {
            case .storageBuffer, .uniformConstant:
                bindings.append(try Self.binding(variable, type: pointee, module, file))
            case .pushConstant:
                let members = module.memberOffsets[pointee] ?? [:]
                pushByteCount = Int((members.values.max() ?? 0) + 4)
            case nil: continue
            }
        }
        bindings.sort { $0.index < $1.index }
        for (position, binding) in bindings.enumerated() where Int(binding.index) != position {
            throw CompileFailure(
                description: "\(file): error: bindings must count up from 0, found \(binding.index)")
        }
    }

    private static func binding(
        _ variable: SPIRVModule.Variable, type: UInt32, _ module: SPIRVModule, _ file: String
    ) throws -> Binding {
        let name = module.names[variable.id].flatMap { $0.isEmpty ? nil : $0 } ?? module.names[type] ?? "?"
        let decorations = module.decorations[variable.id] ?? [:]
        guard let index = decorations[.binding] else {
            throw CompileFailure(description: "\(file): error: '\(name)' has no binding")
        }
        let readOnly = decorations[.nonWritable] != nil || module.allMembers(of: type, are: .nonWritable)
        let writeOnly = decorations[.nonReadable] != nil || module.allMembers(of: type, are: .nonReadable)
        return Binding(
            index: index, name: name, imageFormat: module.imageFormats[type],
            readable: !writeOnly, writable: !readOnly)
    }
}
