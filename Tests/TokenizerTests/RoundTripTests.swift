// Text comes back as it was, whole or token by token; what is not text becomes U+FFFD and nothing else is
// lost.

import Testing
import Tokenizer

struct RoundTripTests {
    /// Random scalars of every plane, unassigned and control characters included.
    private func randomText(_ generator: inout some RandomNumberGenerator) -> String {
        var text = String.UnicodeScalarView()
        for _ in 0..<Int.random(in: 0..<200, using: &generator) {
            let limit: UInt32 =
                [0x80, 0x80, 0x400, 0x3000, 0x10000, 0x110000].randomElement(using: &generator) ?? 0x80
            guard let scalar = Unicode.Scalar(UInt32.random(in: 0..<limit, using: &generator)) else {
                continue
            }
            text.append(scalar)
        }
        return String(text)
    }

    @Test(arguments: ["gpt2", "smollm", "llama3"])
    func byteLevelIsExact(name: String) throws {
        let tokenizer = try Fixtures.tokenizer(name)
        var generator = Counter(state: 1)
        for _ in 0..<400 {
            let text = randomText(&generator)
            let ids = tokenizer.encode(text, addSpecialTokens: false)
            #expect(tokenizer.decode(ids, skipSpecialTokens: false).utf8.elementsEqual(text.utf8))
        }
    }

    @Test func sentencePieceIsExact() throws {
        let tokenizer = try Fixtures.tokenizer("llama2")
        var generator = Counter(state: 2)
        for _ in 0..<400 {
            // ▁ is how this vocabulary writes a space.
            let text = randomText(&generator).replacing("▁", with: "")
            let ids = tokenizer.encode(text)
            #expect(tokenizer.decode(ids, skipSpecialTokens: true).utf8.elementsEqual(text.utf8))
        }
    }

    @Test(arguments: ["gpt2", "llama2", "llama3"])
    func piecesAreTheWholeText(name: String) throws {
        let tokenizer = try Fixtures.tokenizer(name)
        let pieces = ["<s>[INST] the train", "ing of 漢", "字 [/INST]", "", " it is</s>", "\n\n\n"]
        let divided = try tokenizer.encode(pieces: pieces)
        #expect(divided.count == pieces.count && divided[3].isEmpty)
        #expect(divided.flatMap(\.self) == tokenizer.encode(pieces.joined()))
        let reply = tokenizer.decode(divided[4], skipSpecialTokens: false)
        #expect(reply.hasSuffix("it is</s>"))
        #expect(try tokenizer.encode(pieces: []) == [])
    }

    /// Each piece has what the text up to its end has beyond the text up to its beginning, as far as the
    /// whole agrees.
    @Test(arguments: ["gpt2", "smollm", "llama3", "qwen2", "llama2", "metaspace", "flags"])
    func piecesAreWhatPrefixesShare(name: String) throws {
        let tokenizer = try Fixtures.tokenizer(name)
        let marks = tokenizer.addedTokens.map(\.content)
        let words = ["word", " two", "\n", "  ", "é👋", "123", "'s", "<", "_x"]
        var random = Counter(state: 11)
        for _ in 0..<200 {
            // Added tokens are pieces' own beginnings or ends, or in their middle; a border never cuts one.
            let pieces = (0..<Int.random(in: 1...6, using: &random)).map { _ in
                (0..<Int.random(in: 0...4, using: &random)).map { _ in
                    Int.random(in: 0...3, using: &random) == 0
                        ? marks.randomElement(using: &random) ?? "" : words.randomElement(using: &random)!
                }.joined()
            }
            // A token behind the whole text is the last piece's.
            for special in name == "flags" ? [false] : [false, true] {
                let whole = tokenizer.encode(pieces.joined(), addSpecialTokens: special)
                let result = try tokenizer.encode(pieces: pieces, addSpecialTokens: special)
                #expect(result.flatMap(\.self) == whole && result.count == pieces.count)
                var done = 0
                for count in pieces.indices.dropLast() {
                    let part = tokenizer.encode(pieces[...count].joined(), addSpecialTokens: special)
                    let shared = zip(whole, part).prefix { $0 == $1 }.count
                    done = max(done, shared)
                    #expect(result[...count].reduce(0) { $0 + $1.count } == done, "\(pieces)")
                }
            }
        }
    }

    @Test(arguments: ["gpt2", "llama2"])
    func streamingGivesWholeCharacters(name: String) throws {
        let tokenizer = try Fixtures.tokenizer(name)
        let text = " a 👨‍👩‍👧‍👦 é 漢字 \u{10FFFF} z"
        let ids = tokenizer.encode(text, addSpecialTokens: false)
        var stream = tokenizer.streamDecoder(skipSpecialTokens: true)
        var parts = ids.map { stream.append($0) }
        parts.append(stream.finish())
        #expect(parts.joined().utf8.elementsEqual(text.utf8))
        #expect(parts.allSatisfy { !$0.unicodeScalars.contains("\u{FFFD}") })
        #expect(parts.contains(""))
    }

    @Test func cutCharactersBecomeReplacements() throws {
        let tokenizer = try Fixtures.tokenizer("gpt2")
        let bytes = tokenizer.encode("漢", addSpecialTokens: false)
        try #require(bytes.count == 3)
        var stream = tokenizer.streamDecoder(skipSpecialTokens: true)
        #expect(stream.append(bytes[0]) == "")
        #expect(stream.append(bytes[1]) == "")
        #expect(stream.finish() == "\u{FFFD}")
        #expect(tokenizer.decode([bytes[1], bytes[2]], skipSpecialTokens: true) == "\u{FFFD}\u{FFFD}")
        #expect(tokenizer.decode([bytes[0], 1] + bytes, skipSpecialTokens: false) == "\u{FFFD}<|im_start|>漢")
        #expect(tokenizer.decode([-1, 1 << 30, bytes[0]], skipSpecialTokens: true) == "\u{FFFD}")
    }

    @Test func aMegabyteOfOneLetterIsNoTrap() throws {
        for name in ["gpt2", "llama2"] {
            let text = String(repeating: "a", count: 1 << 20)
            let tokenizer = try Fixtures.tokenizer(name)
            #expect(tokenizer.decode(tokenizer.encode(text), skipSpecialTokens: true) == text)
        }
    }
}

/// splitmix64: the same numbers in every run.
private struct Counter: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var value = state
        value = (value ^ (value >> 30)) &* 0xBF58_476D_1CE4_E5B9
        value = (value ^ (value >> 27)) &* 0x94D0_49BB_1331_11EB
        return value ^ (value >> 31)
    }
}
