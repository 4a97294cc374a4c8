// Modules of SPV_NV_cooperative_matrix as modules of SPV_KHR_cooperative_matrix. Compilers older than the KHR's extension, such as
// Debian 12's, know only NVIDIA's, which GLSL of ours is written with (GL_NV_cooperative_matrix); drivers of all vendors know only the
// KHR's. They differ in numbers, in the layout's operand and in that a type says its use:
//   OpTypeCooperativeMatrixNV component scope rows columns      → KHR, … use (0: a, 1: b, 2: accumulator)
//   OpCooperativeMatrixLoadNV pointer stride columnMajor …      → KHR, pointer layout stride …
//   OpCooperativeMatrixStoreNV pointer object stride columnMajor … → KHR, pointer object layout stride …
// Sources: the SPIR-V registry's texts of both extensions.

struct CooperativeMatrices {
    private static let capability: (nv: UInt32, khr: UInt32) = (5357, 6022)
    private static let names = (nv: "SPV_NV_cooperative_matrix", khr: "SPV_KHR_cooperative_matrix")

    private struct Instruction {
        let opcode: UInt32
        let operands: [UInt32]
    }

    private struct MatrixType {
        let id: UInt32
        let rows: UInt32
        let columns: UInt32
        let isFloat32: Bool
    }

    private var matrices: [MatrixType] = []
    private var floatWidths: [UInt32: UInt32] = [:]
    private var uintType: UInt32?
    private var bound: UInt32
    private let file: String

    /// The module in the KHR's form; any other module as it is.
    static func khronos(_ bytes: [UInt8], file: String) throws -> [UInt8] {
        let words = bytes.withUnsafeBytes { [UInt32]($0.bindMemory(to: UInt32.self)) }
        var instructions: [Instruction] = []
        var at = 5
        while at < words.count {
            let length = Int(words[at] >> 16)
            guard length > 0, at + length <= words.count else {
                throw CompileFailure(description: "\(file): error: the SPIR-V is cut at word \(at)")
            }
            instructions.append(
                Instruction(opcode: words[at] & 0xffff, operands: Array(words[(at + 1)..<(at + length)])))
            at += length
        }
        guard instructions.contains(where: { $0.opcode == 17 && $0.operands == [capability.nv] }) else {
            return bytes
        }
        var module = CooperativeMatrices(bound: words[3], file: file)
        let header = Array(words[..<5])
        return try module.rewrite(instructions, header: header)
    }

    private init(bound: UInt32, file: String) {
        self.bound = bound
        self.file = file
    }

    private mutating func rewrite(_ instructions: [Instruction], header: [UInt32]) throws -> [UInt8] {
        for instruction in instructions { note(instruction) }
        guard let uintType else {
            throw CompileFailure(description: "\(file): error: a module of matrices has no type uint")
        }
        // Uses (0, 1, 2) and layouts (0: by rows, 1: by columns) are constants, declared behind their type.
        let zero = bound
        bound += 3
        let isTrue = Set(instructions.filter { $0.opcode == 41 }.map { $0.operands[1] })  // OpConstantTrue
        func layout(_ isColumnMajor: UInt32) -> UInt32 { isTrue.contains(isColumnMajor) ? zero + 1 : zero }
        var result = header
        result[3] = bound
        func append(_ opcode: UInt32, _ operands: [UInt32]) {
            result.append(UInt32(operands.count + 1) << 16 | opcode)
            result += operands
        }
        for instruction in instructions {
            let o = instruction.operands
            switch instruction.opcode {
            case 17 where o == [Self.capability.nv]: append(17, [Self.capability.khr])
            case 10 where o == Self.words(Self.names.nv): append(10, Self.words(Self.names.khr))
            case 21 where o[0] == uintType:
                append(21, o)
                for number: UInt32 in 0..<3 { append(43, [uintType, zero + number, number]) }  // OpConstant
            case 5358: append(4456, o + [zero + (try use(ofType: o[0]))])
            case 5359: append(4457, [o[0], o[1], o[2], layout(o[4]), o[3]] + o[5...])
            case 5360: append(4458, [o[0], o[1], layout(o[3]), o[2]] + o[4...])
            case 5361: append(4459, o)
            case 5362: append(4460, o)
            default: append(instruction.opcode, o)
            }
        }
        return result.withUnsafeBytes { Array($0) }
    }

    private mutating func note(_ instruction: Instruction) {
        let o = instruction.operands
        switch instruction.opcode {
        case 21 where o[1] == 32 && o[2] == 0: uintType = o[0]  // OpTypeInt
        case 22: floatWidths[o[0]] = o[1]  // OpTypeFloat
        case 5358:
            matrices.append(
                MatrixType(id: o[0], rows: o[3], columns: o[4], isFloat32: floatWidths[o[1]] == 32))
        default: break
        }
    }

    /// The accumulator is the one of f32, a has its rows and b has its columns.
    private func use(ofType id: UInt32) throws -> UInt32 {
        let accumulators = matrices.filter(\.isFloat32)
        guard accumulators.count == 1, let c = accumulators.first,
            let matrix = matrices.first(where: { $0.id == id })
        else { throw CompileFailure(description: "\(file): error: matrices of one f32 shape are expected") }
        if matrix.id == c.id { return 2 }
        if matrix.rows == c.rows, matrix.columns != c.columns { return 0 }
        if matrix.columns == c.columns, matrix.rows != c.rows { return 1 }
        throw CompileFailure(description: "\(file): error: a matrix is neither a nor b of a product")
    }

    private static func words(_ text: String) -> [UInt32] {
        var bytes = Array(text.utf8) + [0]
        while bytes.count % 4 != 0 { bytes.append(0) }
        return stride(from: 0, to: bytes.count, by: 4).map { at in
            (0..<4).reduce(0) { $0 | UInt32(bytes[at + $1]) << (8 * $1) }
        }
    }
}
