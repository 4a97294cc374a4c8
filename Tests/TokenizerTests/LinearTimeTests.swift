// Time that grows with a text or a file as it should: no more than in proportion. Each case is measured at a size and at four
// times that size, on the clock of the thread; work by the square would take sixteen times as long.

import Checkpoints
import Glibc
import Testing
import Tokenizer

@Suite(.serialized) struct LinearTimeTests {
    private func tokenizer(_ changes: (old: String, new: String)...) throws -> Tokenizer {
        var text = SmallTokenizer.json
        for change in changes { text = text.replacing(change.old, with: change.new) }
        return try SmallTokenizer.load(text)
    }

    private func seconds(_ body: () throws -> Void) rethrows -> Double {
        func now() -> Double {
            var time = timespec()
            clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
            return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
        }
        let start = now()
        try body()
        return now() - start
    }

    /// `make` gives what is measured at a size.
    private func expectLinear(_ size: Int, _ make: (Int) -> () throws -> Void) throws {
        func best(_ size: Int) throws -> Double {
            let body = make(size)
            return try (0..<3).map { _ in try seconds(body) }.min() ?? 0
        }
        let (one, four) = (try best(size), try best(size * 4))
        #expect(four < 10 * max(one, 1e-4), "\(one) s and \(four) s")
    }

    private func expectLinear(_ tokenizer: Tokenizer, _ size: Int, _ text: (Int) -> String) throws {
        try expectLinear(size) { size in
            let text = text(size)
            return { _ = tokenizer.encode(text) }
        }
    }

    @Test func addedTokensThatAlmostMatchEverywhere() throws {
        let tokens = (0..<8).map { index in
            let content = String(repeating: "a", count: 900 + index) + "b"
            return #"{"id":\#(100 + index),"content":"\#(content)","normalized":false,"special":false},"#
        }
        let tokenizer = try tokenizer((#""added_tokens":["#, #""added_tokens":["# + tokens.joined()))
        try expectLinear(tokenizer, 100_000) { String(repeating: "a", count: $0) }
        let text = String(repeating: "a", count: 1900) + "b"
        #expect(tokenizer.encode(text).last == 107)
    }

    /// Words that all tokens but the last byte fit, in files whose longest token and longest word are as long as they like.
    @Test func wordsThatNearlyFit() throws {
        let long = String(repeating: "a", count: 400)
        let file =
            ###"{"added_tokens":[],"normalizer":{"type":"BertNormalizer"},"pre_tokenizer":{"type":"BertPreTokenizer"},"###
            + ###""decoder":{"type":"WordPiece"},"model":{"type":"WordPiece","unk_token":"[UNK]","###
            + ###""max_input_chars_per_word":100000000,"vocab":{"[UNK]":0,"a":1,"##a":2,"##\###(long)b":3,"\###(long)b":4}}}"###
        let wordPiece = try SmallTokenizer.load(file)
        try expectLinear(wordPiece, 50_000) { String(repeating: "a", count: $0) }
        #expect(wordPiece.encode("aac") == [0] && wordPiece.encode("aa a") == [1, 2, 1])
        let unigram = try SmallTokenizer.load(
            #"{"added_tokens":[],"decoder":{"type":"Metaspace"},"model":{"type":"Unigram","unk_id":0,"#
                + #""vocab":[["<unk>",0],["a",-1],["aa",-1.5],["\#(long)b",-2]]}}"#)
        try expectLinear(unigram, 20_000) { String(repeating: "a", count: $0) }
        #expect(unigram.encode("aaazz") == [1, 2, 0] || unigram.encode("aaazz") == [2, 1, 0])
    }

    @Test func addedTokensThatTakeWhiteSpaceAlong() throws {
        for side in ["lstrip", "rstrip"] {
            let token = #"{"id":100,"content":" ","\#(side)":true,"normalized":false,"special":false},"#
            let tokenizer = try tokenizer((#""added_tokens":["#, #""added_tokens":["# + token))
            try expectLinear(tokenizer, 200_000) { String(repeating: " ", count: $0) + "a" }
        }
    }

    @Test func runsOfCombiningMarks() throws {
        for form in ["NFC", "NFD"] {
            let tokenizer = try tokenizer((#""normalizer":null"#, #""normalizer":{"type":"\#(form)"}"#))
            // Marks of classes that alternate, and U+0F73, which is no mark by its class but becomes two.
            for marks in ["\u{301}\u{323}", "\u{F73}"] {
                try expectLinear(tokenizer, 50_000) { "e" + String(repeating: marks, count: $0 / 2) }
            }
            // The order of a long run is that of a short one.
            for count in [10, 40] {
                let text = "xe" + String(repeating: "\u{301}\u{323}\u{344}", count: count) + "a\u{327}b"
                var words = tokenizer.words(text).joined().unicodeScalars.map(\.value)
                let first: [UInt32] = form == "NFC" ? [0x78, 0x1EB9] : [0x78, 0x65, 0x323]
                let last: [UInt32] = [0x61, 0x327, 0x62]
                #expect(Array(words.prefix(first.count)) == first && Array(words.suffix(3)) == last)
                words.removeFirst(first.count)
                words.removeLast(3)
                #expect(words.prefix(count - 1).allSatisfy { $0 == 0x323 })
                let above = Array(words.dropFirst(count - 1))
                #expect(above == (0..<count).flatMap { _ in [0x301, 0x308, 0x301] as [UInt32] })
            }
        }
    }

    @Test func replacementsOfLongTexts() throws {
        let pattern = String(repeating: "a", count: 20_000) + "b"
        let tokenizer = try tokenizer(
            (
                #""normalizer":null"#,
                #""normalizer":{"type":"Replace","pattern":{"String":"\#(pattern)"},"content":"c"}"#
            ))
        try expectLinear(tokenizer, 50_000) { String(repeating: "a", count: $0) }
        #expect(tokenizer.words("a" + pattern + "b" + pattern).joined() == "acbc")
    }

    @Test func oneLongWord() throws {
        try expectLinear(tokenizer(), 50_000) { String(repeating: "ab", count: $0 / 2) }
        try expectLinear(tokenizer(), 50_000) { String(repeating: "a", count: $0) }
    }

    /// Texts that the fixed hash of before put on one place.
    @Test func vocabularyThatCollides() throws {
        func hash(_ text: String) -> UInt64 {
            let value = text.utf8.reduce(0xCBF2_9CE4_8422_2325 as UInt64) {
                ($0 ^ UInt64($1)) &* 0x100_0000_01B3
            }
            return value ^ (value >> 29)
        }
        var colliding: [String] = []
        var number = 0
        while colliding.count < 4000 {
            let text = "t\(number)"
            if hash(text) & 0x3FF == 0x155 { colliding.append(text) }
            number += 1
        }
        let other = (0..<4000).map { "u\(100_000 + $0)" }
        func file(_ tokens: [String]) -> String {
            let entries = tokens.enumerated().map { "\"\($1)\":\($0 + 10)," }.joined()
            return SmallTokenizer.json.replacing(#""vocab":{"#, with: #""vocab":{"# + entries)
                .replacing(#""id":5"#, with: #""id":9"#)
        }
        func best(_ tokens: [String]) throws -> Double {
            let text = file(tokens)
            return try (0..<3).map { _ in try seconds { _ = try SmallTokenizer.load(text) } }.min() ?? 0
        }
        #expect(try best(colliding) < 3 * best(other))
    }

    @Test func manyPieces() throws {
        let tokenizer = try tokenizer()
        func pieces(_ count: Int) -> [String] {
            (0..<count).map { " ab" + String(repeating: "c", count: $0 % 5) }
        }
        try expectLinear(1000) { count in
            let pieces = pieces(count)
            return { _ = try tokenizer.encode(pieces: pieces) }
        }
        let small = pieces(300)
        let divided = try tokenizer.encode(pieces: small)
        #expect(divided.flatMap(\.self) == tokenizer.encode(small.joined()))
        #expect(divided == small.map { tokenizer.encode($0) })
        // Digits have no token here, so that tokens are not the text: that is slow, and at some length refused.
        let lossy = (0..<300).map { " ab c\($0)" }
        #expect(try tokenizer.encode(pieces: lossy) == lossy.map { tokenizer.encode($0) })
        #expect(throws: FileError.self) {
            try tokenizer.encode(pieces: (0..<5000).map { " ab c\($0) ab ab" })
        }
    }

    @Test func aStopIsHeardInATemplate() throws {
        let template = "{% for i in range(90000) %}{% for j in range(40) %}{% endfor %}{% endfor %}"
        let tokenizer = try SmallTokenizer.load(SmallTokenizer.json, template: template)
        let renderer = try #require(try ChatRenderer(tokenizer))
        let chat = Chat([("user", "a")])
        #expect(throws: FileError("the chat template", "was not read to its end: a stop was asked for")) {
            try Interruption.during(isRequested: { true }) {
                _ = try renderer.render(chat, addGenerationPrompt: false)
            }
        }
    }
}

enum SmallTokenizer {
    static let json = #"""
        {"added_tokens":[{"id":5,"content":"<s>","single_word":false,"lstrip":false,"rstrip":false,"normalized":false,"special":true}],
        "normalizer":null,"pre_tokenizer":{"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":true},
        "post_processor":null,"decoder":{"type":"ByteLevel","add_prefix_space":true,"trim_offsets":true,"use_regex":true},
        "model":{"type":"BPE","dropout":null,"unk_token":null,"continuing_subword_prefix":null,"end_of_word_suffix":null,
        "fuse_unk":false,"byte_fallback":false,"vocab":{"a":0,"b":1,"ab":2,"Ġ":3,"c":4,"aa":6,"abab":7},
        "merges":["a b","ab ab","a a"]}}
        """#

    static func load(_ text: String, template: String? = nil) throws -> Tokenizer {
        var config = TokenizerConfig()
        config.chatTemplate = template
        return try Tokenizer(
            json: JSON.parse(Array(text.utf8), path: "tokenizer.json"), path: "tokenizer.json", config: config
        )
    }
}
