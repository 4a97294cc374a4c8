// The same ids and the same decoded text as the library `tokenizers`, for each family of pre-tokenizers.

import Checkpoints
import Testing
import Tokenizer

struct OracleTests {
    @Test(arguments: [
        "gpt2", "smollm", "llama3", "qwen2", "llama2", "metaspace", "flags", "bert", "bert-cased", "unigram",
        "unigram-bytes",
    ])
    func equalsTokenizersOnMixedText(name: String) throws {
        let tokenizer = try Fixtures.tokenizer(name)
        let expected = try Fixtures.expected(name)
        let chunks = try Fixtures.chunks()
        #expect(chunks.count == expected.count && chunks.count > 40)
        for (index, (chunk, expectation)) in zip(chunks, expected).enumerated() {
            try #require(Fixtures.expectation(tokenizer, chunk) == expectation, "chunk \(index)")
        }
    }

    /// \p{L}, \p{N}, \s and NFC of every scalar: its class shows in where the text is cut.
    @Test(arguments: ["smollm", "llama3", "qwen2", "bert", "bert-cased"])
    func agreesOnEveryScalar(name: String) throws {
        let tokenizer = try Fixtures.tokenizer(name)
        let expected = try Fixtures.expected("\(name)-scalars")
        let starts = Array(stride(from: UInt32(0), to: 0x40000, by: 0x1000)) + [0xE0000]
        #expect(starts.count == expected.count)
        for (start, expectation) in zip(starts, expected) {
            var text = String.UnicodeScalarView()
            for scalar in (start..<start + 0x1000).compactMap(Unicode.Scalar.init) {
                text.append(contentsOf: ["a", scalar, "1", scalar, " "])
            }
            try #require(
                Fixtures.expectation(tokenizer, String(text)) == expectation,
                "from U+\(String(start, radix: 16))")
        }
    }
}
