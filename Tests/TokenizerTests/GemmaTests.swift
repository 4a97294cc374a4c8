// The real tokenizer of Gemma 3, out of its GGUF file (environment LORAVK_TEST_GEMMA, set by scripts/test): 262,144 pieces,
// runs of line ends, tabs and HTML as tokens. Against the library `tokenizers` and against llama.cpp.

import Checkpoints
import Foundation
import Testing
import Tokenizer

private let model = ProcessInfo.processInfo.environment["LORAVK_TEST_GEMMA"]

@Suite(.enabled(if: model != nil, "needs LORAVK_TEST_GEMMA: run scripts/test"))
struct GemmaTests {
    let tokenizer: Tokenizer
    let path: String

    init() throws {
        path = try #require(model)
        tokenizer = try Tokenizer(gguf: GGUFFile(path).metadata)
    }

    /// llama.cpp takes a minute for a megabyte.
    @Test(arguments: [(PythonOracle.tokenizers, 400_000), (.llamaCpp, 40_000)])
    func equalsTheOracle(oracle: PythonOracle, bytes: Int) throws {
        guard oracle != .llamaCpp || PythonOracle.hasLlamaCpp else { return }
        let (text, expected) = try oracle.ids(of: path, bytes: bytes)
        let ids = tokenizer.encode(text)
        let difference = zip(ids, expected).enumerated().first { $1.0 != $1.1 }
        #expect(difference == nil && ids.count == expected.count && ids.count > bytes / 5)
        let back = tokenizer.decode(ids.dropFirst(), skipSpecialTokens: false)
        #expect(back.utf8.elementsEqual(text.replacing("▁", with: " ").utf8))
    }

    @Test func knowsItsTokens() throws {
        #expect(tokenizer.vocabularySize == 262_144)
        let special = tokenizer.specialIDs
        #expect([special.bos, special.eos, special.pad, special.unknown] == [2, 1, 0, 3])
        let text = "<start_of_turn>user\nHi\n\n\n  <b>x</b>\t\t<unused3><end_of_turn>"
        let ids = tokenizer.encode(text)
        #expect(ids.first == 2 && tokenizer.encode(text, addSpecialTokens: false) == Array(ids.dropFirst()))
        for token in ["<start_of_turn>", "\n", "\n\n\n", "<b>", "</b>", "\t\t", "<unused3>", "<end_of_turn>"]
        {
            #expect(ids.contains(try #require(tokenizer.id(token))), "\(token)")
        }
        #expect(tokenizer.decode(ids.dropFirst(), skipSpecialTokens: false) == text)
        #expect(tokenizer.decode(ids, skipSpecialTokens: true) == "user\nHi\n\n\n  <b>x</b>\t\t")
    }
}
