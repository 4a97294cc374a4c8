// Cuts text into the words inside which byte pairs merge: the regular expressions of GPT-2, SmolLM, Llama 3 and Qwen 2,
// written out by hand. Each alternative below carries the part of the expression that it stands for.

struct PreTokenizer: Sendable, Equatable {
    enum Split: Sendable, Equatable {
        /// Each number character on its own (`Digits` of `tokenizers`).
        case digits
        case gpt2
        /// Llama 3 takes numbers by three, Qwen 2 one by one.
        case llama3(numbers: Int)
        /// Before each ▁ (`Metaspace` of `tokenizers`).
        case metaspace
    }

    /// What is done to the text first, after the normalizers.
    var transforms: [Normalizer] = []
    /// Each cuts the pieces that the one before it left.
    var splits: [Split] = []

    func words(_ text: [UInt8], _ body: (Range<Int>) -> Void) {
        cut(text, text.indices, splits[...], body)
    }

    private func cut(
        _ text: [UInt8], _ range: Range<Int>, _ splits: ArraySlice<Split>, _ body: (Range<Int>) -> Void
    ) {
        guard !range.isEmpty else { return }
        guard let split = splits.first else { return body(range) }
        var start = range.lowerBound
        while start < range.upperBound {
            let end = split.end(TextCursor(text, start..<range.upperBound))
            cut(text, start..<end, splits.dropFirst(), body)
            start = end
        }
    }
}

extension PreTokenizer.Split {
    /// Where the piece that starts at the cursor ends.
    fileprivate func end(_ cursor: TextCursor) -> Int {
        switch self {
        case .digits: digits(cursor)
        case .gpt2: gpt2(cursor)
        case .llama3(let numbers): llama3(cursor, numbers: numbers)
        case .metaspace: metaspace(cursor)
        }
    }

    private func digits(_ start: TextCursor) -> Int {
        var cursor = start
        cursor.advance()
        if !start.scalar.isNumeric {
            while cursor.kind != nil, !cursor.scalar.isNumeric { cursor.advance() }
        }
        return cursor.position
    }

    private func gpt2(_ start: TextCursor) -> Int {
        // 's|'t|'re|'ve|'m|'ll|'d
        if let end = contraction(start, ignoringCase: false) { return end }
        var cursor = start
        //  ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+
        if cursor.scalar == " " { cursor.advance() }
        if let kind = cursor.kind, !kind.isWhitespace {
            cursor.skip(kind)
            return cursor.position
        }
        return whitespace(start)
    }

    private func llama3(_ start: TextCursor, numbers: Int) -> Int {
        // (?i:'s|'t|'re|'ve|'m|'ll|'d)
        if let end = contraction(start, ignoringCase: true) { return end }
        var cursor = start
        let first = start.kind
        // [^\r\n\p{L}\p{N}]?\p{L}+
        if first != .newline, first != .number, first != .letter { cursor.advance() }
        if cursor.kind == .letter {
            cursor.skip(.letter)
            return cursor.position
        }
        // \p{N}{1,3}
        if first == .number {
            for _ in 0..<numbers where cursor.kind == .number { cursor.advance() }
            return cursor.position
        }
        //  ?[^\s\p{L}\p{N}]+[\r\n]*
        cursor = start
        if start.scalar == " " { cursor.advance() }
        if cursor.kind == .other {
            cursor.skip(.other)
            cursor.skip(.newline)
            return cursor.position
        }
        // \s*[\r\n]+
        var lastNewline: Int?
        cursor = start
        while let kind = cursor.kind, kind.isWhitespace {
            cursor.advance()
            if kind == .newline { lastNewline = cursor.position }
        }
        return lastNewline ?? whitespace(start)
    }

    /// `\s+(?!\S)|\s+`: a run of white space leaves its last character to the word behind it.
    private func whitespace(_ start: TextCursor) -> Int {
        var cursor = start
        var last = start.position
        while let kind = cursor.kind, kind.isWhitespace {
            last = cursor.position
            cursor.advance()
        }
        return cursor.kind == nil || last == start.position ? cursor.position : last
    }

    private func contraction(_ start: TextCursor, ignoringCase: Bool) -> Int? {
        guard start.scalar == "'" else { return nil }
        func letter(_ cursor: TextCursor) -> Unicode.Scalar {
            guard cursor.kind != nil else { return " " }
            guard ignoringCase else { return cursor.scalar }
            switch cursor.scalar {
            case "A"..."Z": return Unicode.Scalar(cursor.scalar.value + 32) ?? cursor.scalar
            case "\u{17F}": return "s"  // the long s, the one other character that folds to one of these
            default: return cursor.scalar
            }
        }
        var cursor = start
        cursor.advance()
        let first = letter(cursor)
        cursor.advance()
        if ["s", "t", "m", "d"].contains(first) { return cursor.position }
        let second = letter(cursor)
        cursor.advance()
        let isLong = (first == "r" || first == "v") && second == "e" || first == "l" && second == "l"
        return isLong ? cursor.position : nil
    }

    private func metaspace(_ start: TextCursor) -> Int {
        var cursor = start
        cursor.advance()
        while cursor.kind != nil, cursor.scalar != "▁" { cursor.advance() }
        return cursor.position
    }
}
