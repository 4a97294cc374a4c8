// Arrays that Python oracles saved with numpy: float32 and int32, C order.

import Foundation

package struct NumpyFile {
    package let shape: [Int]
    private let bytes: Data

    package init(_ path: String) throws {
        let file = try Data(contentsOf: URL(fileURLWithPath: path))
        guard file.prefix(6) == Data([0x93] + Array("NUMPY".utf8)) else {
            throw Failure("\(path) is no numpy file")
        }
        let start = file[6] == 1 ? 10 : 12
        let length = (8..<start).reduce(0) { $0 + Int(file[$1]) << (8 * ($1 - 8)) }
        let header = String(decoding: file[start..<(start + length)], as: UTF8.self)
        guard !header.contains("'fortran_order': True"), let open = header.range(of: "'shape': (") else {
            throw Failure("\(path): header \(header)")
        }
        shape = header[open.upperBound...].prefix { $0 != ")" }.split(separator: ",")
            .compactMap { Int($0.trimmingCharacters(in: .whitespaces)) }
        bytes = Data(file[(start + length)...])
    }

    package var floats: [Float] { values() }
    package var integers: [Int32] { values() }

    private func values<T>() -> [T] {
        bytes.withUnsafeBytes { Array($0.bindMemory(to: T.self)) }
    }

    package struct Failure: Error, CustomStringConvertible {
        package let description: String
        init(_ description: String) { self.description = description }
    }
}
