// The texts of a file to make vectors of: the lines of plain text, or the field 'text' of rows.

import Checkpoints

package enum TextFile {
    package static func texts(_ path: String) throws -> [String] {
        let file = try DataFile(path)
        if case .text = file.form {
            return try file.text().split(whereSeparator: { $0.isNewline }).map { String($0) }
        }
        var texts: [String] = []
        try file.eachRow { row, _ in texts.append(try row.string("text")) }
        return texts
    }
}
