// Template source to tokens. Reference: the lexer of Jinja 3.1 as transformers sets it up: trim_blocks (a line end right
// behind a block tag is dropped) and lstrip_blocks (so is white space on the line before one).

import Checkpoints

struct TemplateToken {
    enum Kind: Equatable {
        case text(String)
        case blockBegin, blockEnd, outputBegin, outputEnd
        case name(String)
        case string(String)
        case integer(Int)
        case float(Double)
        case symbol(String)
        case end
    }

    let kind: Kind
    let line: Int
}

struct TemplateLexer {
    private let source: [Unicode.Scalar]
    private var at = 0
    private var line = 1
    private var tokens: [TemplateToken] = []
    /// The text that comes next begins a line.
    private var isLineStart = true

    static func tokens(of source: String) throws(FileError) -> [TemplateToken] {
        var lexer = TemplateLexer(source)
        while lexer.at < lexer.source.count { try lexer.textAndTag() }
        lexer.add(.end)
        return lexer.tokens
    }

    private init(_ source: String) {
        var scalars: [Unicode.Scalar] = []
        for scalar in source.unicodeScalars {
            if scalar == "\n", scalars.last == "\r" { scalars.removeLast() }
            scalars.append(scalar)
        }
        scalars = scalars.map { $0 == "\r" ? "\n" : $0 }
        if scalars.last == "\n" { scalars.removeLast() }
        self.source = scalars
    }

    private mutating func textAndTag() throws(FileError) {
        let start = at
        while at < source.count, !(peek("{%") || peek("{{") || peek("{#")) { at += 1 }
        var text = source[start..<at]
        guard at < source.count else { return addText(text) }
        let opening = source[at + 1]
        let control = at + 2 < source.count ? source[at + 2] : " "
        if control == "-" {
            while let last = text.last, last.isPythonSpace { text.removeLast() }
        } else if opening != "{", control != "+" {
            stripLineStart(&text)
        }
        addText(text)
        line += source[start..<at].count { $0 == "\n" } - text.count { $0 == "\n" }
        at += control == "-" || control == "+" ? 3 : 2
        switch opening {
        case "#": try comment()
        case "{": try tag(.outputBegin, .outputEnd, "}}")
        default:
            if let body = try rawBody() {
                addText(body)
            } else {
                try tag(.blockBegin, .blockEnd, "%}")
            }
        }
    }

    /// Removes white space between the start of the line and a block tag.
    private func stripLineStart(_ text: inout ArraySlice<Unicode.Scalar>) {
        var start = text.endIndex
        while start > text.startIndex, text[start - 1] != "\n" {
            guard text[start - 1].isPythonSpace else { return }
            start -= 1
        }
        if start > text.startIndex || isLineStart { text = text[..<start] }
    }

    private mutating func comment() throws(FileError) {
        let opened = line
        while at < source.count {
            let isStripped = peek("-#}")
            if isStripped || peek("+#}") || peek("#}") {
                let keepsLineEnd = peek("+#}")
                at += isStripped || keepsLineEnd ? 3 : 2
                return afterTag(stripsAll: isStripped, dropsLineEnd: !isStripped && !keepsLineEnd)
            }
            advance()
        }
        throw FileError.template(opened, "a comment is not closed")
    }

    private mutating func afterTag(stripsAll: Bool, dropsLineEnd: Bool) {
        isLineStart = false
        if stripsAll {
            while at < source.count, source[at].isPythonSpace {
                isLineStart = source[at] == "\n"
                advance()
            }
        } else if dropsLineEnd, peek("\n") {
            advance()
            isLineStart = true
        }
    }

    /// The text of `{% raw %}…{% endraw %}` when the cursor is behind `{%` of one.
    private mutating func rawBody() throws(FileError) -> ArraySlice<Unicode.Scalar>? {
        var scan = self
        guard let begin = scan.tagEnd(named: "raw") else { return nil }
        if begin.stripsAll { scan.afterTag(stripsAll: true, dropsLineEnd: false) }
        let start = scan.at
        while scan.at < source.count {
            var end = scan
            if end.peek("{%") {
                var body = source[start..<end.at]
                end.at += 2
                let control = end.at < source.count ? source[end.at] : " "
                if control == "-" || control == "+" { end.at += 1 }
                if let close = end.tagEnd(named: "endraw") {
                    if control == "-" { while let last = body.last, last.isPythonSpace { body.removeLast() } }
                    if control != "-", control != "+" { end.stripLineStart(&body) }
                    at = end.at
                    afterTag(
                        stripsAll: close.stripsAll, dropsLineEnd: !close.stripsAll && !close.keepsLineEnd)
                    return body
                }
            }
            scan.advance()
        }
        throw FileError.template(line, "'raw' is not closed")
    }

    /// Moves behind `NAME %}`.
    private mutating func tagEnd(named name: String) -> (stripsAll: Bool, keepsLineEnd: Bool)? {
        while at < source.count, source[at].isPythonSpace { advance() }
        guard peek(name) else { return nil }
        at += name.unicodeScalars.count
        while at < source.count, source[at].isPythonSpace { advance() }
        let stripsAll = peek("-%}")
        let keepsLineEnd = peek("+%}")
        guard stripsAll || keepsLineEnd || peek("%}") else { return nil }
        at += stripsAll || keepsLineEnd ? 3 : 2
        return (stripsAll, keepsLineEnd)
    }

    private mutating func tag(
        _ begin: TemplateToken.Kind, _ end: TemplateToken.Kind, _ closing: String
    ) throws(FileError) {
        add(begin)
        var brackets: [Unicode.Scalar] = []
        while true {
            while at < source.count, source[at].isPythonSpace { advance() }
            guard at < source.count else { throw FileError.template(line, "a tag is not closed") }
            if brackets.isEmpty {
                let stripsAll = peek("-" + closing)
                let keepsLineEnd = end == .blockEnd && peek("+" + closing)
                if stripsAll || keepsLineEnd || peek(closing) {
                    at += stripsAll || keepsLineEnd ? 3 : 2
                    add(end)
                    return afterTag(
                        stripsAll: stripsAll, dropsLineEnd: end == .blockEnd && !stripsAll && !keepsLineEnd)
                }
            }
            try token(&brackets)
        }
    }

    private mutating func token(_ brackets: inout [Unicode.Scalar]) throws(FileError) {
        let first = source[at]
        switch first {
        case "'", "\"": add(.string(try string(first)))
        case "0"..."9": try number()
        case _ where first.isNameStart:
            let start = at
            while at < source.count, source[at].isNameStart || "0"..."9" ~= source[at] { at += 1 }
            add(.name(TemplateLexer.text(source[start..<at])))
        default:
            for symbol in ["//", "**", "==", "!=", ">=", "<="] where peek(symbol) {
                at += 2
                return add(.symbol(symbol))
            }
            guard "+-/*%~[](){}<>=.:|,;".unicodeScalars.contains(first) else {
                throw FileError.template(line, "the character '\(first)' does not belong in an expression")
            }
            switch first {
            case "(": brackets.append(")")
            case "[": brackets.append("]")
            case "{": brackets.append("}")
            case ")", "]", "}":
                guard brackets.popLast() == first else {
                    throw FileError.template(line, "'\(first)' closes nothing")
                }
            default: break
            }
            at += 1
            add(.symbol(String(first)))
        }
    }

    private mutating func number() throws(FileError) {
        let start = at
        var isFloat = false
        func isDigit(_ index: Int) -> Bool { index < source.count && "0"..."9" ~= source[index] }
        while isDigit(at) || (peek("_") && isDigit(at + 1)) { at += 1 }
        if peek("."), isDigit(at + 1) {
            isFloat = true
            at += 1
            while isDigit(at) { at += 1 }
        }
        if peek("e") || peek("E") {
            let sign = at + 1 < source.count && (source[at + 1] == "+" || source[at + 1] == "-") ? 1 : 0
            if isDigit(at + 1 + sign) {
                isFloat = true
                at += 1 + sign
                while isDigit(at) { at += 1 }
            }
        }
        let digits = TemplateLexer.text(source[start..<at].filter { $0 != "_" }[...])
        if isFloat, let value = Double(digits), value.isFinite {
            add(.float(value))
        } else if !isFloat, let value = Int(digits) {
            add(.integer(value))
        } else {
            throw FileError.template(line, "the number \(digits.prefix(40)) is too large")
        }
    }

    private mutating func string(_ quote: Unicode.Scalar) throws(FileError) -> String {
        let opened = line
        var text = String.UnicodeScalarView()
        advance()
        while at < source.count {
            let scalar = source[at]
            advance()
            if scalar == quote { return String(text) }
            if scalar == "\\", at < source.count {
                if let escaped = try escape() { text.append(escaped) }
            } else {
                text.append(scalar)
            }
        }
        throw FileError.template(opened, "a string is not closed")
    }

    /// Escapes of Python's string literals; an unknown one stands for itself, backslash included.
    private mutating func escape() throws(FileError) -> Unicode.Scalar? {
        let kind = source[at]
        let simple: [Unicode.Scalar: Unicode.Scalar] = [
            "n": "\n", "t": "\t", "r": "\r", "a": "\u{7}", "b": "\u{8}", "f": "\u{C}", "v": "\u{B}",
            "\\": "\\",
            "'": "'", "\"": "\"",
        ]
        if let scalar = simple[kind] {
            advance()
            return scalar
        }
        let digits: Int? =
            switch kind {
            case "x": 2
            case "u": 4
            case "U": 8
            default: nil
            }
        if let digits {
            let end = min(at + 1 + digits, source.count)
            guard let code = UInt32(TemplateLexer.text(source[at + 1..<end]), radix: 16),
                let scalar = Unicode.Scalar(code), end == at + 1 + digits
            else {
                throw FileError.template(line, "\\\(kind) needs \(digits) hexadecimal digits of a character")
            }
            at = end
            return scalar
        }
        if kind == "\n" {
            advance()
            return nil
        }
        guard !("0"..."7" ~= kind), kind != "N" else {
            throw FileError.template(
                line, "the escape \\\(kind) is not supported", remedy: "write \\xNN or \\uNNNN")
        }
        return "\\"
    }

    private func peek(_ text: String) -> Bool {
        var index = at
        for scalar in text.unicodeScalars {
            guard index < source.count, source[index] == scalar else { return false }
            index += 1
        }
        return true
    }

    private mutating func advance() {
        if source[at] == "\n" { line += 1 }
        at += 1
    }

    private mutating func add(_ kind: TemplateToken.Kind) {
        tokens.append(TemplateToken(kind: kind, line: line))
    }

    private mutating func addText(_ text: ArraySlice<Unicode.Scalar>) {
        if !text.isEmpty { add(.text(TemplateLexer.text(text))) }
        line += text.count { $0 == "\n" }
    }

    private static func text(_ scalars: ArraySlice<Unicode.Scalar>) -> String {
        var view = String.UnicodeScalarView()
        view.append(contentsOf: scalars)
        return String(view)
    }
}

extension FileError {
    static func template(_ line: Int, _ message: String, remedy: String? = nil) -> FileError {
        FileError("chat template", at: .line(line), message, remedy: remedy)
    }
}

extension Unicode.Scalar {
    fileprivate var isNameStart: Bool {
        switch self {
        case "a"..."z", "A"..."Z", "_": true
        default: !isASCII && properties.isXIDStart
        }
    }

    /// What Python's `str.isspace` and `\s` hold for white space.
    var isPythonSpace: Bool {
        switch self {
        case "\t"..."\r", " ", "\u{1C}"..."\u{1F}": true
        default: !isASCII && properties.isWhitespace
        }
    }
}
