// The tokenizers of model families: their settings on small vocabularies (Data/families.json), against the library
// `tokenizers`; and the same out of GGUF files. The vocabulary `crossing` has pairs over the borders of words, so a
// word that is cut elsewhere shows in the ids.

import Checkpoints
import Testing
import Tokenizer

struct FamilyTests {
    private static let families: JSON.Object = {
        guard case .object(let families)? = try? JSON.read(Fixtures.folder + "families.json") else {
            return [:]
        }
        return families
    }()

    /// tokenizer.json of a family: its base with the family's parts in it.
    static func json(_ name: String) throws -> JSON {
        let family = try JSONFields(families[name] ?? .null, path: name)
        let path = "\(Fixtures.folder)\(try family.string("base")).tokenizer.json"
        var file = try JSONFields(JSON.read(path), path: path).object
        for key in ["normalizer", "pre_tokenizer", "post_processor", "decoder"] {
            if let part = family.object[key] { file[key] = part }
        }
        var model = try JSONFields(.object(file), path: path).fields("model").object
        for member in try family.fields("model").object.members { model[member.key] = member.value }
        guard case .object(var vocabulary)? = model["vocab"], case .array(let merges)? = model["merges"],
            case .array(var added)? = file["added_tokens"]
        else { throw FileError(path, "has no vocabulary") }
        for case .string(let piece) in try family.optionalArray("pieces") ?? [] {
            vocabulary[piece] = vocabulary[piece] ?? .integer(vocabulary.count)
        }
        for token in try family.optionalArray("added_tokens") ?? [] {
            var token = try JSONFields(token, path: name)
            let content = try token.string("content")
            vocabulary[content] = vocabulary[content] ?? .integer(vocabulary.count)
            var object = token.object
            object["id"] = vocabulary[content]
            token = JSONFields(object, path: name)
            added.append(.object(token.object))
        }
        model["vocab"] = .object(vocabulary)
        model["merges"] = .array(merges + (try family.optionalArray("merges") ?? []))
        file["model"] = .object(model)
        file["added_tokens"] = .array(added)
        return .object(file)
    }

    private static func tokenizer(_ name: String) throws -> Tokenizer {
        try Tokenizer(json: json(name), path: "\(name)/tokenizer.json")
    }

    @Test(arguments: families.keys)
    func equalsTokenizers(name: String) throws {
        let tokenizer = try FamilyTests.tokenizer(name)
        let expected = try Fixtures.expected("family/\(name)")
        let chunks = try Fixtures.chunks("families.txt")
        #expect(chunks.count == expected.count && chunks.count > 15)
        for (index, (chunk, expectation)) in zip(chunks, expected).enumerated() {
            try #require(Fixtures.expectation(tokenizer, chunk) == expectation, "chunk \(index)")
        }
    }

    /// Where words are cut, whatever scalar stands beside letters, a digit and punctuation.
    @Test(arguments: ["granite", "llama3", "cl100k", "qwen35", "gpt4o", "deepseek3", "deepseek-coder"])
    func cutsAtEveryScalarAsTokenizersDo(name: String) throws {
        let expected = try Fixtures.rows("words/\(name)")
        let tokenizer = try FamilyTests.tokenizer(name)
        let starts = Array(stride(from: UInt32(0), to: 0x40000, by: 0x1000)) + [0xE0000]
        #expect(starts.count == expected.count)
        for (start, row) in zip(starts, expected) {
            var text = String.UnicodeScalarView()
            for scalar in (start..<start + 0x1000).compactMap(Unicode.Scalar.init) {
                text.append(contentsOf: "a\(scalar)Ab\(scalar)1\(scalar). \(scalar)'s".unicodeScalars)
            }
            let lengths = tokenizer.words(String(text)).map { Int32($0.utf8.count) }
            try #require(
                row == [.integer(lengths.count), .string(Fixtures.hash(lengths))],
                "from U+\(String(start, radix: 16))")
        }
    }

    /// Families in GGUF files, under each name that converters give them.
    @Test(arguments: [
        ("gpt2", "gpt-2"), ("olmo", "olmo"), ("granite", "refact"), ("llama3", "llama-bpe"), ("lfm2", "lfm2"),
        ("smollm3", "smaug-bpe"), ("olmo2", "dbrx"), ("glm4", "glm4"), ("qwen2", "qwen2"),
        ("qwen35", "qwen35"),
        ("gpt4o", "gpt-4o"), ("tekken", "tekken"), ("deepseek3", "deepseek-v3"),
        ("deepseek-coder", "deepseek-coder"),
    ])
    func equalsItsGGUF(name: String, pre: String) throws {
        let tokenizer = try FamilyTests.tokenizer(name)
        var file = try GGUFBuilder(json: FamilyTests.json(name), path: name, pre: pre)
        file["tokenizer.ggml.bos_token_id"] = .uint32(1)
        let twin = try file.tokenizer()
        for chunk in try Fixtures.chunks("families.txt") {
            try #require(
                twin.encode(chunk, addSpecialTokens: false)
                    == tokenizer.encode(chunk, addSpecialTokens: false))
        }
        // The others do not begin with one token, or nothing in the file would say so.
        if ["llama3", "lfm2", "tekken", "gpt2", "qwen2"].contains(name) {
            #expect(twin.encode("a") == tokenizer.encode("a"))
        }
    }

    @Test func gemmaEqualsTokenizersFromItsGGUF() throws {
        var file = try GGUFBuilder(json: FamilyTests.json("gemma"), path: "gemma", pre: nil)
        file["tokenizer.ggml.add_space_prefix"] = .bool(false)
        let tokenizer = try file.tokenizer()
        for (chunk, expectation) in zip(
            try Fixtures.chunks("families.txt"), try Fixtures.expected("family/gemma-gguf"))
        {
            try #require(Fixtures.expectation(tokenizer, chunk) == expectation)
        }
    }

    /// What Gemma's text is made of comes back as it was: runs of spaces, tabs and line ends are tokens.
    @Test(arguments: ["gemma", "llama3", "gpt4o", "tekken", "deepseek3", "granite", "mistral"])
    func textComesBack(name: String) throws {
        let tokenizer = try FamilyTests.tokenizer(name)
        for chunk in try Fixtures.chunks("families.txt") {
            // ▁ is how pieces write a space, and Mistral's text takes none in front.
            let text = "x" + chunk.replacing("▁", with: "")
            let ids = tokenizer.encode(text, addSpecialTokens: false)
            #expect(tokenizer.decode(ids, skipSpecialTokens: false).utf8.elementsEqual(text.utf8))
        }
    }

    @Test func phi3TakesWhiteSpaceAlong() throws {
        var file = try GGUFBuilder(json: FamilyTests.json("phi3"), path: "phi3", pre: nil)
        file["general.architecture"] = .string("phi3")
        let text = "<|im_start|> \n a<|im_end|>\nb"
        let json = try FamilyTests.tokenizer("phi3")
        #expect(try file.tokenizer().encode(text) == json.encode(text))
        file["general.architecture"] = .string("llama")
        #expect(try file.tokenizer().encode(text) != json.encode(text))
    }
}
