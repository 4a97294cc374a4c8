// The same ids and the same decoded text as the library `tokenizers`, for each family of pre-tokenizers.

import Checkpoints
import Testing
import Tokenizer

struct OracleTests {
    @Test(arguments: ["gpt2", "smollm", "llama3", "qwen2", "llama2", "metaspace", "flags"])
    func equalsTokenizersOnMixedText(name: String) throws {
        let tokenizer = try Fixtures.tokenizer(name)
        let expected = try Fixtures.expected(name)
        let chunks = try Fixtures.chunks()
        #expect(chunks.count == expected.count && chunks.count > 40)
        for (index, (chunk, expectation)) in zip(chunks, expected).enumerated() {
            try #require(Fixtures.expectation(tokenizer, chunk) == expectation, "chunk \(index)")
        }
    }
}
