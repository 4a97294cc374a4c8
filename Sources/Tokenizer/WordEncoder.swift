// One word to token ids: by byte pairs its first symbols, then the merges; or by another `WordModel`.

import Checkpoints

/// What makes tokens of a word, where they are not merged from pairs.
protocol WordModel: Sendable {
    func encode(_ word: ArraySlice<UInt8>, into ids: inout [Int32])
}

struct WordEncoder: Sendable {
    enum Alphabet: Sendable, Equatable {
        /// Symbols are bytes, shown in the vocabulary as `ByteLevel.characters`.
        case bytes
        /// Symbols are Unicode scalars; one that the vocabulary lacks becomes its bytes, as tokens `<0x0A>`, where
        /// `byteFallback` is set.
        case scalars(byteFallback: Bool)
    }

    let vocabulary: Vocabulary
    let merges: BytePairMerges
    let alphabet: Alphabet
    /// nil: what the vocabulary cannot express is left out, as `tokenizers` does.
    let unknown: Int32?
    /// Several unknown symbols in a row become one.
    let fusesUnknown: Bool
    /// A word that is in the vocabulary as a whole needs no merges (Llama 3).
    let ignoresMerges: Bool
    /// Encodes words otherwise than by merging pairs.
    private let model: (any WordModel)?
    /// The token of each byte: by itself, or as `<0x0A>`; −1 where there is none.
    private let byteTokens: [Int32]
    /// Of ASCII scalars, where they are the symbols.
    private let asciiTokens: [Int32]
    /// By the last byte of a symbol, whether it merges with one that begins with ▁; nil where words are not cut there.
    private let mergesWithSpace: [Bool]?

    init(
        vocabulary: Vocabulary, merges: BytePairMerges, alphabet: Alphabet, unknown: Int32?,
        fusesUnknown: Bool = false, ignoresMerges: Bool = false
    ) {
        self.vocabulary = vocabulary
        self.merges = merges
        self.alphabet = alphabet
        self.unknown = unknown
        self.fusesUnknown = fusesUnknown
        self.ignoresMerges = ignoresMerges
        model = nil
        byteTokens = (UInt8.min...UInt8.max).map { byte in
            let name =
                alphabet == .bytes ? String(ByteLevel.characters[Int(byte)]) : ByteToken.name(of: byte)
            return vocabulary.id(of: name) ?? -1
        }
        asciiTokens = (0..<128).map { vocabulary.id(of: [UInt8($0)]) ?? -1 }
        guard alphabet != .bytes, !ignoresMerges, vocabulary.id(of: WordEncoder.space[...]) != nil else {
            mergesWithSpace = nil
            return
        }
        var mergesWithSpace = [Bool](repeating: false, count: 256)
        merges.forEachPair { left, right, _ in
            guard vocabulary.bytes(of: Int(right))?.starts(with: WordEncoder.space) == true,
                let last = vocabulary.bytes(of: Int(left))?.last
            else { return }
            mergesWithSpace[Int(last)] = true
        }
        self.mergesWithSpace = mergesWithSpace
    }

    init(_ model: some WordModel, vocabulary: Vocabulary, unknown: Int32?) {
        (self.model, self.vocabulary, self.unknown) = (model, vocabulary, unknown)
        (merges, alphabet) = (BytePairMerges(), .scalars(byteFallback: false))
        (fusesUnknown, ignoresMerges, byteTokens, asciiTokens) = (false, false, [], [])
        mergesWithSpace = nil
    }

    private static let space = Array("▁".utf8)

    /// What is kept from word to word: room to merge in, and the ids of short words, which come again and again.
    struct Memory {
        private static let mostWords = 1 << 15
        private static let longestWord = 32
        /// So many new words go by between two looks whether a stop was asked for.
        fileprivate static let missesUnwatched = 1024
        fileprivate var misses = 0
        /// Words that are new are left out from then on.
        var isStopped = false
        fileprivate var work = BytePairMerges.Workspace()
        private var ids: [ArraySlice<UInt8>: [Int32]] = [:]

        fileprivate subscript(word: ArraySlice<UInt8>) -> [Int32]? {
            word.count <= Self.longestWord ? ids[word] : nil
        }

        fileprivate mutating func note(_ word: ArraySlice<UInt8>, _ wordIDs: ArraySlice<Int32>) {
            guard word.count <= Self.longestWord, ids.count < Self.mostWords else { return }
            ids[Array(word)[...]] = Array(wordIDs)
        }
    }

    func encode(_ word: ArraySlice<UInt8>, into ids: inout [Int32], _ memory: inout Memory) {
        forEachPiece(of: word) { encodeWhole($0, into: &ids, &memory) }
    }

    /// `onPiece` gets the number of ids before each piece of the word that is encoded by itself.
    func encode(
        _ word: ArraySlice<UInt8>, into ids: inout [Int32], _ memory: inout Memory, onPiece: (Int) -> Void
    ) {
        forEachPiece(of: word) { piece in
            onPiece(ids.count)
            encodeWhole(piece, into: &ids, &memory)
        }
    }

    /// Pieces of SentencePiece are not cut into words before. Cutting the text in front of a ▁ with which nothing before
    /// it could merge changes no token, and gives words that come again.
    @inline(__always)
    private func forEachPiece(of word: ArraySlice<UInt8>, _ body: (ArraySlice<UInt8>) -> Void) {
        var start = word.startIndex
        if let mergesWithSpace {
            var place = word.dropFirst()
            while let found = place.firstIndex(of: WordEncoder.space[0]) {
                place = word[(found + 1)...]
                guard !mergesWithSpace[Int(word[found - 1])], word[found...].starts(with: WordEncoder.space)
                else {
                    continue
                }
                body(word[start..<found])
                start = found
            }
        }
        body(word[start...])
    }

    private func encodeWhole(_ word: ArraySlice<UInt8>, into ids: inout [Int32], _ memory: inout Memory) {
        if let known = memory[word] {
            ids += known
            return
        }
        memory.misses += 1
        if memory.misses % Memory.missesUnwatched == 0 { memory.isStopped = Interruption.isRequested }
        if memory.isStopped { return }
        let start = ids.count
        merge(word, into: &ids, &memory.work)
        memory.note(word, ids[start...])
    }

    private func merge(
        _ word: ArraySlice<UInt8>, into ids: inout [Int32], _ work: inout BytePairMerges.Workspace
    ) {
        if let model { return model.encode(word, into: &ids) }
        if ignoresMerges, let id = vocabulary.id(of: alphabet == .bytes ? ByteLevel.encode(word)[...] : word)
        {
            ids.append(id)
            return
        }
        work.symbols.removeAll(keepingCapacity: true)
        var isAfterUnknown = false
        switch alphabet {
        case .bytes:
            for byte in word { append(byteTokens[Int(byte)], to: &work.symbols, &isAfterUnknown) }
        case .scalars(let byteFallback):
            var start = word.startIndex
            while start < word.endIndex {
                var end = start + 1
                while end < word.endIndex, word[end] & 0xC0 == 0x80 { end += 1 }
                let scalar = word[start..<end]
                start = end
                let id = token(of: scalar)
                if id < 0, byteFallback, scalar.allSatisfy({ byteTokens[Int($0)] >= 0 }) {
                    for byte in scalar { append(byteTokens[Int(byte)], to: &work.symbols, &isAfterUnknown) }
                } else {
                    append(id, to: &work.symbols, &isAfterUnknown)
                }
            }
        }
        merges.apply(to: &work)
        ids.append(contentsOf: work.symbols)
    }

    /// A negative id is a symbol that the vocabulary lacks.
    private func append(_ id: Int32, to symbols: inout [Int32], _ isAfterUnknown: inout Bool) {
        if id >= 0 {
            symbols.append(id)
        } else if let unknown, !(isAfterUnknown && fusesUnknown) {
            symbols.append(unknown)
        }
        isAfterUnknown = id < 0
    }

    private func token(of scalar: ArraySlice<UInt8>) -> Int32 {
        guard scalar.count == 1, let byte = scalar.first, byte < 128 else {
            return vocabulary.id(of: scalar) ?? -1
        }
        return asciiTokens[Int(byte)]
    }
}

/// The tokens `<0x00>` … `<0xFF>` of SentencePiece.
enum ByteToken {
    static func name(of byte: UInt8) -> String {
        let digits = String(byte, radix: 16, uppercase: true)
        return "<0x" + (byte < 16 ? "0" : "") + digits + ">"
    }

    /// The byte of such a name, nil for any other text.
    static func byte(of name: ArraySlice<UInt8>) -> UInt8? {
        guard name.count == 6, name.starts(with: Array("<0x".utf8)), name.last == UInt8(ascii: ">") else {
            return nil
        }
        let digits = String(decoding: name.dropFirst(3).prefix(2), as: UTF8.self)
        guard let byte = UInt8(digits, radix: 16), ByteToken.name(of: byte).utf8.elementsEqual(name) else {
            return nil
        }
        return byte
    }
}
