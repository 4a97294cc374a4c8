// Tokenizers written in the other kind of file give the same tokens (texts beside the probe are checked in Tests/Oracles), and
// Ollama's templates are found for what they write.

import Checkpoints
import Foundation
import Testing
import Tokenizer

@Suite struct WrittenTokenizerTests {
    @Test(arguments: ["chatml", "llama3", "gemma", "phi3"])
    func aKnownTemplateIsFound(_ name: String) throws {
        let tokenizer = try Fixtures.tokenizer("gpt2").with(templateNamed: name)
        let template = try #require(try OllamaTemplate(tokenizer))
        #expect(template.source.contains("{{ .Prompt }}") && template.system == nil)
        let known = try #require(KnownTemplate.named(name))
        if let end = known.end { #expect(template.source.contains("{{ .Response }}\(end)")) }
    }

    @Test func anUnknownTemplateIsNone() throws {
        let tokenizer = try Fixtures.tokenizer("gpt2")
        #expect(try OllamaTemplate(tokenizer.with(templateNamed: "alpaca")) == nil)
        #expect(try OllamaTemplate(tokenizer) == nil || tokenizer.chatTemplate != nil)
    }

    @Test func aSystemMessageOfTheTemplatesOwnIsFound() throws {
        let known = try #require(KnownTemplate.named("chatml"))
        let source =
            "{% if messages[0]['role'] != 'system' %}{{ '<|im_start|>system\\nAhoy.<|im_end|>\\n' }}{% endif %}"
            + known.source
        let path = NSTemporaryDirectory() + "/loravk-" + UUID().uuidString
        defer { try? FileManager.default.removeItem(atPath: path) }
        try AtomicFile.write(source, to: path)
        let tokenizer = try Fixtures.tokenizer("gpt2").with(templateNamed: path)
        #expect(try OllamaTemplate(tokenizer)?.system == "Ahoy.")
    }
}
