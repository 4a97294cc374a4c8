// The few SPIR-V instructions that say how a shader is bound.

struct SPIRVModule {
    enum Decoration: UInt32 {
        case specId = 1
        case nonWritable = 24
        case nonReadable = 25
        case binding = 33
        case offset = 35
    }
    enum Storage: UInt32 {
        case uniformConstant = 0
        case pushConstant = 9
        case storageBuffer = 12
    }
    struct Variable {
        let id: UInt32
        let type: UInt32
        let storage: Storage?
    }

    private(set) var capabilities: [UInt32] = []
    private(set) var names: [UInt32: String] = [:]
    private(set) var decorations: [UInt32: [Decoration: UInt32]] = [:]
    private(set) var memberDecorations: [UInt32: [Decoration: Set<UInt32>]] = [:]
    private(set) var memberOffsets: [UInt32: [UInt32: UInt32]] = [:]
    private(set) var memberCounts: [UInt32: Int] = [:]
    private(set) var pointees: [UInt32: UInt32] = [:]
    private(set) var imageFormats: [UInt32: UInt32] = [:]
    private(set) var variables: [Variable] = []

    init(_ bytes: [UInt8], file: String) throws {
        let words = bytes.withUnsafeBytes { [UInt32]($0.bindMemory(to: UInt32.self)) }
        var at = 5
        while at < words.count {
            let length = Int(words[at] >> 16)
            guard length > 0, at + length <= words.count else {
                throw CompileFailure(description: "\(file): error: the SPIR-V is cut at word \(at)")
            }
            read(opcode: words[at] & 0xffff, words[(at + 1)..<(at + length)].map { $0 })
            at += length
        }
    }

    func allMembers(of type: UInt32, are decoration: Decoration) -> Bool {
        guard let count = memberCounts[type], count > 0 else { return false }
        return memberDecorations[type]?[decoration]?.count == count
    }

    private mutating func read(opcode: UInt32, _ operands: [UInt32]) {
        switch opcode {
        case 5: names[operands[0]] = Self.text(operands.dropFirst())  // OpName
        case 17: capabilities.append(operands[0])  // OpCapability
        case 25: imageFormats[operands[0]] = operands[7]  // OpTypeImage
        case 30: memberCounts[operands[0]] = operands.count - 1  // OpTypeStruct
        case 32: pointees[operands[0]] = operands[2]  // OpTypePointer
        case 59:  // OpVariable
            variables.append(
                Variable(id: operands[1], type: operands[0], storage: Storage(rawValue: operands[2])))
        case 71:  // OpDecorate
            if let decoration = Decoration(rawValue: operands[1]) {
                decorations[operands[0], default: [:]][decoration] = operands.count > 2 ? operands[2] : 0
            }
        case 72:  // OpMemberDecorate
            guard let decoration = Decoration(rawValue: operands[2]) else { return }
            memberDecorations[operands[0], default: [:]][decoration, default: []].insert(operands[1])
            if decoration == .offset { memberOffsets[operands[0], default: [:]][operands[1]] = operands[3] }
        default: break
        }
    }

    private static func text(_ words: ArraySlice<UInt32>) -> String {
        let bytes = words.flatMap { word in (0..<4).map { UInt8(truncatingIfNeeded: word >> ($0 * 8)) } }
        return String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
    }
}
