// Tokenizers inside GGUF files: the same ids as from `tokenizer.json`, and bad metadata refused with a sentence.

import Checkpoints
import Testing
import Tokenizer

struct GGUFTokenizerTests {
    @Test(arguments: [
        ("gpt2", "gpt-2"), ("smollm", "smollm"), ("qwen2", "qwen2"),
        ("llama3", "llama-bpe"),
    ])
    func byteLevelEqualsTokenizers(name: String, pre: String) throws {
        var file = try GGUFBuilder(fixture: name, pre: pre)
        file["tokenizer.ggml.add_bos_token"] = .bool(false)
        let tokenizer = try file.tokenizer()
        for (chunk, expectation) in zip(try Fixtures.chunks(), try Fixtures.expected(name)) {
            try #require(Fixtures.expectation(tokenizer, chunk) == expectation)
        }
    }

    @Test func sentencePieceEqualsTokenizers() throws {
        let tokenizer = try GGUFBuilder(fixture: "llama2", pre: nil).tokenizer()
        for (chunk, expectation) in zip(try Fixtures.chunks(), try Fixtures.expected("llama2-gguf")) {
            try #require(Fixtures.expectation(tokenizer, chunk) == expectation)
        }
    }

    @Test func addsWhatTheFileAsksFor() throws {
        var file = try GGUFBuilder(fixture: "llama3", pre: "llama-bpe")
        file["tokenizer.ggml.bos_token_id"] = .uint32(1)
        file["tokenizer.ggml.eos_token_id"] = .uint32(2)
        #expect(try file.tokenizer().encode("a").first == 1)
        file["tokenizer.ggml.add_bos_token"] = .bool(false)
        file["tokenizer.ggml.add_eos_token"] = .bool(true)
        let ids = try file.tokenizer().encode("a")
        #expect(ids.first != 1 && ids.last == 2)
        file["tokenizer.ggml.add_space_prefix"] = .bool(true)
        #expect(try file.tokenizer().decode(file.tokenizer().encode("a"), skipSpecialTokens: true) == " a")
    }

    /// As in llama.cpp, whose files have them.
    @Test func idsThatAreNoTokensAndTypesThatSayNothingAreTold() throws {
        var file = try GGUFBuilder(fixture: "gpt2", pre: "gpt-2")
        #expect(try file.tokenizer().warnings.isEmpty)
        let ids = try file.tokenizer().encode("and so on")
        file["tokenizer.ggml.eos_token_id"] = .uint32(.max)
        file["tokenizer.ggml.bos_token_id"] = .uint32(700)
        file["tokenizer.ggml.token_type"] = .integers([Int32](repeating: 0, count: 700))
        file["tokenizer.ggml.pre"] = nil
        let tokenizer = try file.tokenizer()
        #expect(tokenizer.specialIDs.eos == nil && tokenizer.specialIDs.bos == nil)
        #expect(tokenizer.encode("and so on") == ids)
        let parts = [
            "'tokenizer.ggml.pre' is missing", "700 tokens, of which 0 is the first, have the type 0",
            "'tokenizer.ggml.bos_token_id' is 700, which is none of the 700 tokens",
            "'tokenizer.ggml.eos_token_id' is 4294967295, which is none of the 700 tokens",
        ]
        #expect(tokenizer.warnings.count == 4)
        for (warning, part) in zip(tokenizer.warnings, parts) {
            #expect(warning.contains(part), "\(warning)")
        }
    }

    /// Changes to a good file, each with a part of what the error says.
    private static let refused: [(key: String, value: GGUFBuilder.Value?, reason: String)] = [
        (
            "tokenizer.ggml.model", .string("bert"),
            "'tokenizer.ggml.model' is the string \"bert\", expected \"gpt2\" or \"llama\""
        ),
        ("tokenizer.ggml.model", nil, "is missing"),
        (
            "tokenizer.ggml.pre", .string("bloom"),
            "'tokenizer.ggml.pre' is the string \"bloom\", expected one of default"
        ),
        ("tokenizer.ggml.tokens", nil, "is missing"),
        ("tokenizer.ggml.tokens", .strings([]), "expected an array of 1 to"),
        ("tokenizer.ggml.tokens", .uint32(1), "expected an array of strings"),
        ("tokenizer.ggml.token_type", .integers([1]), "one for each of"),
        ("tokenizer.ggml.token_type", .integers([Int32](repeating: 7, count: 700)), "token 0 has the type 7"),
        ("tokenizer.ggml.merges", nil, "is missing"),
        (
            "tokenizer.ggml.merges", .strings(["ab"]),
            "merge 0 is the string \"ab\", expected two tokens with one space"
        ),
        ("tokenizer.ggml.merges", .strings(["a b c"]), "merge 0 is the string \"a b c\""),
        ("tokenizer.ggml.merges", .strings([" a"]), "merge 0 is"),
        ("tokenizer.ggml.merges", .strings([""]), "merge 0 is"),
        (
            "tokenizer.ggml.merges", .strings(["a \(String(repeating: "b", count: 100_000))"]),
            "merge 0 needs the token 'bbb"
        ),
        ("tokenizer.ggml.padding_token_id", .string("x"), "expected an integer"),
        ("tokenizer.ggml.add_bos_token", .bool(true), "'tokenizer.ggml.bos_token_id' is missing"),
        ("tokenizer.ggml.add_bos_token", .uint32(1), "expected a bool"),
        ("tokenizer.chat_template", .uint32(1), "expected a string"),
    ]

    @Test(arguments: refused.indices)
    func isRefused(index: Int) throws {
        let (key, value, reason) = GGUFTokenizerTests.refused[index]
        var file = try GGUFBuilder(fixture: "gpt2", pre: "gpt-2")
        file[key] = value
        try expectRefusal(file, reason)
    }

    private static let refusedPieces: [(key: String, value: GGUFBuilder.Value?, reason: String)] = [
        ("tokenizer.ggml.scores", nil, "is missing"),
        ("tokenizer.ggml.scores", .floats([1]), "a float32 for each of 5 tokens"),
        ("tokenizer.ggml.scores", .floats([0, 0, 0, .nan, 0]), "a float32 for each"),
        ("tokenizer.ggml.scores", .integers([0, 0, 0, 0, 0]), "expected an array of float32"),
        (
            "tokenizer.ggml.tokens", .strings(["<unk>", "<s>", "</s>", "<0x-1>", "a"]),
            "token 3 stands for a byte but is called '<0x-1>'"
        ),
        ("tokenizer.ggml.tokens", .strings(["<unk>", "<s>", "</s>", "<0x1>", "a"]), "is called '<0x1>'"),
        ("tokenizer.ggml.tokens", .strings(["<unk>", "<s>", "</s>", "", "a"]), "is called ''"),
        (
            "tokenizer.ggml.tokens", .strings(["<unk>", "<s>", "</s>", "<0x0A>", "<s>"]),
            "tokens 1 and 4 have the same text"
        ),
        (
            "tokenizer.ggml.tokens",
            .strings(["<unk>", "<s>", "</s>", "<0x0A>", String(repeating: "x", count: 9999)]),
            "token 4 has 9999 bytes"
        ),
        ("tokenizer.ggml.remove_extra_whitespaces", .bool(true), "expected false"),
    ]

    private func pieces() throws -> GGUFBuilder {
        var file = try GGUFBuilder(fixture: "llama2", pre: nil)
        file["tokenizer.ggml.tokens"] = .strings(["<unk>", "<s>", "</s>", "<0x0A>", "a"])
        file["tokenizer.ggml.token_type"] = .integers([2, 3, 3, 6, 1])
        file["tokenizer.ggml.scores"] = .floats([0, 0, 0, 0, 0])
        return file
    }

    @Test(arguments: refusedPieces.indices)
    func piecesAreRefused(index: Int) throws {
        let (key, value, reason) = GGUFTokenizerTests.refusedPieces[index]
        var file = try pieces()
        file[key] = value
        try expectRefusal(file, reason)
    }

    @Test func oddPiecesLoad() throws {
        var file = try pieces()
        file["tokenizer.ggml.tokens"] = .strings(["<unk>", "<s>", "</s>", "<0x0A>", ""])
        #expect(try file.tokenizer().encode("a\n") == [1, 0, 3])
        file["tokenizer.ggml.tokens"] = .strings(["<unk>", "<s>", "</s>", "<0x0A>", "a b"])
        #expect(try file.tokenizer().token(4) == "a b")
        file["tokenizer.ggml.scores"] = .floats([0, 0, 0, 0, -.infinity])
        #expect(try file.tokenizer().vocabularySize == 5)
    }

    private func expectRefusal(_ file: GGUFBuilder, _ reason: String) throws {
        do {
            _ = try file.tokenizer()
            Issue.record("was loaded, expected: \(reason)")
        } catch let error as FileError {
            #expect(error.description.contains(reason), "\(error)")
        }
    }
}
