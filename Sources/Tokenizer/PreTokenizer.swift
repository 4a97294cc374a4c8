// Cuts text into the words that become tokens each by itself: steps that change the pieces of the step before or cut them.

struct PreTokenizer: Sendable, Equatable {
    enum Step: Sendable, Equatable {
        case change(Normalizer)
        case split(Splitter)
        /// BERT's words and punctuation.
        case bert
    }

    var steps: [Step] = []

    init() {}

    /// Each expression cuts the pieces that the one before it left.
    init(splitting expressions: [String]) {
        steps = expressions.map { .split(Splitter(expression: .known($0))) }
    }

    /// `isFirst`: nothing comes before this text.
    func words(_ text: [UInt8], isFirst: Bool, _ body: (ArraySlice<UInt8>) -> Void) {
        apply(0, to: text, text.indices, isFirst, body)
    }

    /// The step with this number and those behind it.
    private func apply(
        _ number: Int, to text: [UInt8], _ range: Range<Int>, _ isFirst: Bool,
        _ body: (ArraySlice<UInt8>) -> Void
    ) {
        guard !range.isEmpty else { return }
        guard number < steps.count else { return body(text[range]) }
        let isFirst = isFirst && range.lowerBound == 0
        switch steps[number] {
        case .change(let normalizer):
            var piece = Array(text[range])
            normalizer.apply(to: &piece, isFirst: isFirst)
            apply(number + 1, to: piece, piece.indices, isFirst, body)
        case .split(let splitter):
            text.withUnsafeBufferPointer { pointer in
                splitter.pieces(of: pointer, in: range) { apply(number + 1, to: text, $0, isFirst, body) }
            }
        case .bert:
            text.withUnsafeBufferPointer { pointer in
                BertText.words(pointer, in: range) { apply(number + 1, to: text, $0, isFirst, body) }
            }
        }
    }
}

extension Expression {
    /// The expressions of families, which GGUF files name and `ByteLevel` has built in.
    enum Family {
        private static let contraction = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
        private static let spaces = #"\s*[\r\n]+|\s+(?!\S)|\s+"#
        private static let digitsByThree = #"\p{N}{1,3}"#

        static let digits = #"\p{N}"#
        /// What `Digits` looks for; a name of our own.
        static let numeric = #"\p{numeric}"#
        static let gpt2 = #"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"#
        /// What llama.cpp does where a file names no rule.
        static let llamaCPPDefault = [#"[\p{P}$+<=>\^~|]+"#, gpt2, #"\p{N}+"#, "[0-9][0-9][0-9]"]
        static let llama3 = words(numbers: digitsByThree)
        static let qwen2 = words(numbers: digits)
        static let qwen35 =
            contraction + #"|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|"# + spaces
        static let gpt4o = cased(suffix: contraction + "?", numbers: digitsByThree)
        static let tekken = cased(suffix: "", numbers: digits)
        static let deepSeekCoder = [#"[\r\n]"#, #"\s?\p{L}+"#, #"\s?\p{P}+"#, "[一-龥ࠀ-一가-퟿]+", digits]
        static let deepSeek3 = [
            digitsByThree, "[一-龥぀-ゟ゠-ヿ]+",
            ##"[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+|"##
                + #" ?[\p{P}\p{S}]+[\r\n]*|"# + spaces,
        ]

        private static func words(numbers: String) -> String {
            "\(contraction)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\(numbers)| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\(spaces)"
        }

        /// A word also begins where small letters end.
        private static func cased(suffix: String, numbers: String) -> String {
            let head = #"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]"#
            let tail = #"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"#
            return
                "\(head)*\(tail)+\(suffix)|\(head)+\(tail)*\(suffix)|\(numbers)| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\(spaces)"
        }
    }
}
