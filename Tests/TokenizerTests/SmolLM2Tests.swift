// The real tokenizer of SmolLM2, out of its GGUF file (environment LORAVK_TEST_MODEL, set by scripts/test): the token
// ids of the golden training runs, and a megabyte of mixed text against the library `tokenizers` (LORAVK_TEST_PYTHON).

import Checkpoints
import Foundation
import Testing
import Tokenizer

private let model = ProcessInfo.processInfo.environment["LORAVK_TEST_MODEL"]

@Suite(.enabled(if: model != nil, "needs LORAVK_TEST_MODEL: run scripts/test"))
struct SmolLM2Tests {
    let tokenizer: Tokenizer
    let path: String

    init() throws {
        path = try #require(model)
        tokenizer = try Tokenizer(gguf: GGUFFile(path).metadata)
    }

    @Test func givesTheTokensOfTheGoldenRuns() throws {
        let bytes = try FileSystem.contents(of: Fixtures.folder + "golden_tokens.npy")
        let golden = PythonOracle.numbers(bytes.dropFirst(10 + Int(bytes[8]) + Int(bytes[9]) << 8))
        let ids = tokenizer.encode(try Fixtures.text("golden_text.txt"))
        #expect(golden.count > 1000 && Array(ids.prefix(golden.count)) == golden)
    }

    @Test func equalsTokenizersOnTheFixture() throws {
        let expected = try Fixtures.expected("smollm2-gguf")
        for (index, (chunk, expectation)) in zip(try Fixtures.chunks(), expected).enumerated() {
            try #require(Fixtures.expectation(tokenizer, chunk) == expectation, "chunk \(index)")
        }
    }

    @Test func equalsTokenizersOnAMegabyte() throws {
        let (text, expected) = try PythonOracle.tokenizers.ids(of: path, bytes: 1_100_000)
        #expect(text.utf8.count >= 1 << 20)
        let ours = tokenizer.encode(text)
        let difference = zip(ours, expected).enumerated().first { $1.0 != $1.1 }
        #expect(difference == nil && ours.count == expected.count)
    }

    @Test func knowsItsSpecialTokens() throws {
        #expect(tokenizer.vocabularySize == 49152)
        let special = tokenizer.specialIDs
        #expect([special.bos, special.eos, special.pad, special.unknown] == [1, 2, 2, 0])
        #expect(tokenizer.token(2) == "<|im_end|>" && tokenizer.id("<|im_end|>") == 2)
        #expect(tokenizer.encode("<|im_start|>user\nHi<|im_end|>") == [1, 4093, 198, 26843, 2])
        #expect(tokenizer.decode([1, 4093, 198, 26843, 2], skipSpecialTokens: true) == "user\nHi")
        #expect(tokenizer.chatTemplate?.contains("<|im_start|>") == true)
    }
}
