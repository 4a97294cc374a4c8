// Python's string operations, which work on Unicode scalars; Swift's work on characters and their equivalence.

enum TemplateText {
    static func string(_ scalars: some Sequence<Unicode.Scalar>) -> String {
        var view = String.UnicodeScalarView()
        view.append(contentsOf: scalars)
        return String(view)
    }

    /// The offset in bytes of the first occurrence.
    static func find(_ part: String, in text: String) -> Int? {
        ByteSearch(Array(part.utf8)).first(in: Array(text.utf8)[...])
    }

    static func findLast(_ part: String, in text: String) -> Int? {
        ByteSearch(part.utf8.reversed()).first(in: Array(text.utf8.reversed())[...])
            .map { text.utf8.count - part.utf8.count - $0 }
    }

    /// Splits from the right, at most `limit` times.
    static func rightSplit(_ text: String, _ separator: String?, limit: Int) -> [String] {
        // Reversed bytes are no text, reversed scalars are.
        func reversed(_ text: String) -> String { string(text.unicodeScalars.reversed()) }
        return split(reversed(text), separator.map(reversed), limit: limit).reversed().map(reversed)
    }

    static func strip(_ text: String, _ characters: String? = nil, left: Bool = true, right: Bool = true)
        -> String
    {
        let wanted = characters.map { Set($0.unicodeScalars) }
        func isStripped(_ scalar: Unicode.Scalar) -> Bool { wanted?.contains(scalar) ?? scalar.isPythonSpace }
        var scalars = text.unicodeScalars[...]
        if left { scalars = scalars.drop(while: isStripped) }
        if right { while let last = scalars.last, isStripped(last) { scalars.removeLast() } }
        return String(scalars)
    }

    /// Without a separator: at runs of white space, none of them kept.
    static func split(_ text: String, _ separator: String?, limit: Int) -> [String] {
        guard let separator else { return splitAtSpaces(text, limit: limit) }
        let (bytes, part) = (Array(text.utf8), Array(separator.utf8))
        let search = ByteSearch(part)
        var pieces: [String] = []
        var start = 0
        while limit < 0 || pieces.count < limit, let found = search.first(in: bytes[start...]) {
            pieces.append(String(decoding: bytes[start..<found], as: UTF8.self))
            start = found + part.count
        }
        return pieces + [String(decoding: bytes[start...], as: UTF8.self)]
    }

    private static func splitAtSpaces(_ text: String, limit: Int) -> [String] {
        var pieces: [String] = []
        var rest = text.unicodeScalars.drop(while: \.isPythonSpace)
        while !rest.isEmpty {
            if limit >= 0, pieces.count == limit {
                pieces.append(strip(String(rest), left: false))
                break
            }
            let word = rest.prefix { !$0.isPythonSpace }
            pieces.append(String(word))
            rest = rest[word.endIndex...].drop(while: \.isPythonSpace)
        }
        return pieces
    }

    static func lines(_ text: String, keepsEnds: Bool = false) -> [String] {
        var lines: [String] = []
        var line = String.UnicodeScalarView()
        var last: Unicode.Scalar?
        for scalar in text.unicodeScalars {
            defer { last = scalar }
            switch scalar {
            case "\n" where last == "\r":
                if keepsEnds { lines[lines.count - 1].unicodeScalars.append(scalar) }
            case "\n", "\r", "\u{B}", "\u{C}", "\u{1C}"..."\u{1E}", "\u{85}", "\u{2028}", "\u{2029}":
                if keepsEnds { line.append(scalar) }
                lines.append(String(line))
                line = String.UnicodeScalarView()
            default: line.append(scalar)
            }
        }
        return line.isEmpty ? lines : lines + [String(line)]
    }

    /// `count` < 0: all.
    static func replace(_ text: String, _ old: String, _ new: String, count: Int) -> String {
        if old.isEmpty {
            var result = ""
            var left = count
            for scalar in text.unicodeScalars {
                if left != 0 { result += new }
                left -= left > 0 ? 1 : 0
                result.unicodeScalars.append(scalar)
            }
            return left != 0 ? result + new : result
        }
        return split(text, old, limit: count).joined(separator: new)
    }

    static func capitalize(_ text: String) -> String {
        guard let first = text.unicodeScalars.first else { return "" }
        return first.properties.titlecaseMapping + String(text.unicodeScalars.dropFirst()).lowercased()
    }

    /// A capital after everything that is not a letter (`str.title`).
    static func title(_ text: String) -> String {
        var result = ""
        var isInWord = false
        for scalar in text.unicodeScalars {
            result += isInWord ? scalar.properties.lowercaseMapping : scalar.properties.titlecaseMapping
            isInWord = scalar.properties.isCased
        }
        return result
    }

    /// A capital behind white space and opening brackets and dashes (Jinja's filter `title`).
    static func titleOfWords(_ text: String) -> String {
        var result = ""
        var isInWord = false
        for scalar in text.unicodeScalars {
            result += isInWord ? scalar.properties.lowercaseMapping : scalar.properties.titlecaseMapping
            isInWord = !scalar.isPythonSpace && !"-({[<".unicodeScalars.contains(scalar)
        }
        return result
    }

    static func swapCase(_ text: String) -> String {
        text.unicodeScalars.map {
            $0.properties.isUppercase ? $0.properties.lowercaseMapping : $0.properties.uppercaseMapping
        }.joined()
    }

    static func escapeHTML(_ text: String) -> String {
        var result = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "&": result += "&amp;"
            case "<": result += "&lt;"
            case ">": result += "&gt;"
            case "\"": result += "&#34;"
            case "'": result += "&#39;"
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result
    }
}
