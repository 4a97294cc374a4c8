// Bad and odd `tokenizer.json` files: refused with a sentence, or loaded where they are legal.

import Checkpoints
import Foundation
import Testing
import Tokenizer

struct TokenizerJSONTests {
    private static let good = #"""
        {"added_tokens":[{"id":5,"content":"<s>","single_word":false,"lstrip":false,"rstrip":false,"normalized":false,"special":true}],
        "normalizer":null,"pre_tokenizer":{"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":true},
        "post_processor":null,"decoder":{"type":"ByteLevel","add_prefix_space":true,"trim_offsets":true,"use_regex":true},
        "model":{"type":"BPE","dropout":null,"unk_token":null,"continuing_subword_prefix":null,"end_of_word_suffix":null,
        "fuse_unk":false,"byte_fallback":false,"vocab":{"a":0,"b":1,"ab":2,"Ġ":3,"c":4},"merges":["a b"]}}
        """#

    private func load(_ old: String, _ new: String) throws -> Tokenizer {
        let text = TokenizerJSONTests.good.replacing(old, with: new)
        try #require(old == new || text != TokenizerJSONTests.good)
        return try Tokenizer(
            json: JSON.parse(Array(text.utf8), path: "tokenizer.json"), path: "tokenizer.json")
    }

    @Test func goodFileLoads() throws {
        let tokenizer = try load("", "")
        #expect(tokenizer.encode("ab <s>c") == [2, 3, 5, 4])
        #expect(tokenizer.vocabularySize == 6 && tokenizer.id("<s>") == 5 && tokenizer.token(2) == "ab")
    }

    /// Normalizers that each make a text twice as long.
    private static func doubled(_ count: Int) -> String {
        let part = #"{"type":"Replace","pattern":{"String":"a"},"content":"aa"}"#
        return Array(repeating: part, count: count).joined(separator: ",")
    }

    /// A change to the good file, and a part of what the error says.
    private static let refused: [(old: String, new: String, reason: String)] = [
        (#""type":"BPE""#, #""type":"WordLevel""#, #"'model.type' is the string "WordLevel", expected"#),
        (#""type":"BPE""#, #""type":"Unigram""#, "'model.vocab' is an object of 5 keys, expected an array"),
        (#""type":"BPE""#, #""type":7"#, "expected a string"),
        (#""dropout":null"#, #""dropout":0.1"#, "random merges are not supported"),
        (#""unk_token":null"#, #""unk_token":"<unk>""#, "expected a token of the vocabulary"),
        (
            #""continuing_subword_prefix":null"#, #""continuing_subword_prefix":"@@""#,
            "continuing_subword_prefix"
        ),
        (#""end_of_word_suffix":null"#, #""end_of_word_suffix":"</w>""#, "end_of_word_suffix"),
        (#""c":4"#, #""c":2"#, "the tokens 'ab' and 'c' have the same id 2"),
        (#""c":4"#, #""c":-1"#, "expected an id from 0 to"),
        (#""c":4"#, #""c":4000000000"#, "expected an id from 0 to"),
        (#""c":4"#, #""c":1.5"#, "expected an id from 0 to"),
        (#""c":4"#, #""c":"4""#, "expected an id from 0 to"),
        (#""c":4"#, #""a":4"#, "the key 'a' appears twice"),
        (#""vocab":{"a":0,"b":1,"ab":2,"Ġ":3,"c":4}"#, #""vocab":["a"]"#, "expected an object"),
        (#""merges":["a b"]"#, #""merges":["ab"]"#, "merge 0 is the string \"ab\""),
        (#""merges":["a b"]"#, #""merges":["a  b"]"#, "merge 0 is the string"),
        (#""merges":["a b"]"#, #""merges":["a b c"]"#, "merge 0 is the string"),
        (#""merges":["a b"]"#, #""merges":[["a","b","c"]]"#, "merge 0 is an array of 3"),
        (#""merges":["a b"]"#, #""merges":[["a",1]]"#, "merge 0 is an array of 2"),
        (#""merges":["a b"]"#, #""merges":["a b",7]"#, "merge 1 is the number 7"),
        (
            #""merges":["a b"]"#, #""merges":["a aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"]"#,
            "merge 0 needs the token 'aaaa"
        ),
        (#""merges":["a b"]"#, #""merges":["b a"]"#, "merge 0 needs the token 'ba'"),
        (#""merges":["a b"]"#, #""merges":{}"#, "expected an array"),
        (#""id":5"#, #""id":2"#, "the added token '<s>' has the id 2 of the token 'ab'"),
        (#""id":5"#, #""id":4294967295"#, "expected an integer from 0 to"),
        (#""content":"<s>""#, #""content":"ab""#, "the token 'ab' is added as 5 but is 2 in the vocabulary"),
        (#""content":"<s>""#, #""content":7"#, "expected a string"),
        (
            #""content":"<s>""#, #""content":"\#(String(repeating: "s", count: 1025))""#,
            "an added token has 1025 bytes, the limit is 1024"
        ),
        (
            #""normalizer":null"#, #""normalizer":{"type":"NFKD"}"#, "\"NFKD\", expected NFC"
        ),
        (
            #""normalizer":null"#, #""normalizer":{"type":"Replace","pattern":{"Regex":"a("},"content":""}"#,
            "the regular expression a( is not supported: it ends too early"
        ),
        (
            #""normalizer":null"#, #""normalizer":{"type":"Replace","pattern":{"String":""},"content":""}"#,
            "expected a text that is not empty"
        ),
        (
            #""normalizer":null"#, #""normalizer":{"type":"Sequence","normalizers":[{"type":"NFKC"}]}"#,
            "NFKC"
        ),
        (
            #""normalizer":null"#,
            #""normalizer":{"type":"Sequence","normalizers":[\#(doubled(7))]}"#,
            "the normalizers can make a text 128 times as long, the limit is 64"
        ),
        (
            #""normalizer":null"#,
            #""normalizer":{"type":"Sequence","normalizers":[\#(doubled(33))]}"#, "expected at most 32 parts"
        ),
        (
            #""pre_tokenizer":{"type":"ByteLevel""#, #""pre_tokenizer":{"type":"CharDelimiterSplit""#,
            "CharDelimiterSplit"
        ),
        (
            #""pre_tokenizer":{"type":"ByteLevel""#,
            #""pre_tokenizer":{"type":"Split","behavior":"Isolated","pattern":{"Regex":"\\w+"}"#,
            #"the regular expression \w+ is not supported: it has the escape '\w'"#
        ),
        (
            #""pre_tokenizer":{"type":"ByteLevel""#,
            #""pre_tokenizer":{"type":"Split","behavior":"Kept","pattern":{"Regex":"\\d+"}"#,
            "behavior' is the string"
        ),
        (
            #""pre_tokenizer":{"type":"ByteLevel""#,
            #""pre_tokenizer":{"type":"Split","behavior":"Isolated","pattern":{"String":""}"#,
            "expected a text"
        ),
        (
            #""pre_tokenizer":{"type":"ByteLevel""#,
            #""pre_tokenizer":{"type":"Sequence","pretokenizers":[{"type":"ByteLevel"},{"type":"Digits"}]"#,
            "expected ByteLevel as the last pre-tokenizer"
        ),
        (#""decoder":{"type":"ByteLevel""#, #""decoder":{"type":"CTC""#, "CTC"),
        (
            #""post_processor":null"#, #""post_processor":{"type":"BertProcessing"}"#,
            "'post_processor.cls' is missing"
        ),
        (
            #""post_processor":null"#,
            #""post_processor":{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"<x>","type_id":0}}],"special_tokens":{}}"#,
            "special_tokens.<x>' is missing"
        ),
        (
            #""post_processor":null"#,
            #""post_processor":{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"<s>"}}],"special_tokens":{"<s>":{"ids":[-1]}}}"#,
            "has the id the number -1"
        ),
    ]

    @Test(arguments: refused.indices)
    func isRefused(index: Int) throws {
        let (old, new, reason) = TokenizerJSONTests.refused[index]
        do {
            _ = try load(old, new)
            Issue.record("was loaded: \(new)")
        } catch let error as FileError {
            #expect(error.description.contains(reason), "\(error)")
            #expect(error.description.hasPrefix("tokenizer.json"))
        }
    }

    @Test func oddFilesLoad() throws {
        #expect(try load(#""c":4"#, #""c":4000"#).vocabularySize == 4001)
        #expect(try load(#""c":4"#, #""c d":4"#).token(4) == "c d")
        #expect(try load(#""c":4"#, #""\u00c5":4,"\u212b":6"#).id("\u{212B}") == 6)
        #expect(try load(#""merges":["a b"]"#, #""merges":[["a","b"],["a","b"]]"#).encode("ab") == [2])
        #expect(try load(#""merges":["a b"]"#, #""merges":[]"#).encode("abx") == [0, 1])
        #expect(try load(#""unk_token":null"#, #""unk_token":"c""#).encode("axx") == [0, 4, 4])
        #expect(try load(#""fuse_unk":false"#, #""fuse_unk":true,"ignore_merges":true"#).encode("ab") == [2])
        #expect(
            try load(
                #""added_tokens":["#, #""version":"1.0","truncation":null,"padding":null,"added_tokens":["#
            ).encode("ab") == [2])
    }

    @Test func configNamesTheSpecialTokens() throws {
        func config(_ text: String) throws -> TokenizerConfig {
            try TokenizerConfig(json: JSON.parse(Array(text.utf8), path: "c.json"), path: "c.json")
        }
        let one = try config(
            #"{"bos_token":"<s>","eos_token":{"content":"ab","lstrip":false},"pad_token":null,"chat_template":"x"}"#
        )
        #expect([one.bosToken, one.eosToken, one.padToken, one.chatTemplate] == ["<s>", "ab", nil, "x"])
        let many = try config(
            #"{"chat_template":[{"name":"tool_use","template":"t"},{"name":"default","template":"d"}]}"#)
        #expect(many.chatTemplate == "d")
        let json = try JSON.parse(Array(TokenizerJSONTests.good.utf8), path: "tokenizer.json")
        let tokenizer = try Tokenizer(json: json, path: "tokenizer.json", config: one)
        #expect(
            tokenizer.specialIDs.bos == 5 && tokenizer.specialIDs.eos == 2 && tokenizer.specialIDs.pad == nil)
        #expect(tokenizer.specialIDs.stops == [2])
        #expect(throws: FileError.self) { try config(#"{"bos_token":7}"#) }
        #expect(throws: FileError.self) { try config("[]") }
    }

    /// As transformers 4.57 has it: some classes go by the flags of the config, the others by the post-processor.
    @Test(arguments: [
        ("LlamaTokenizerFast", "", [5, 2]), ("GemmaTokenizer", #","add_bos_token":false"#, [2]),
        ("LlamaTokenizer", #","add_eos_token":true"#, [5, 2, 4]), ("GPTNeoXTokenizer", "", [2]),
        ("PreTrainedTokenizerFast", "", [1, 2]),
        ("GPT2Tokenizer", #","add_bos_token":false,"add_eos_token":true"#, [1, 2]),
    ])
    func flagsOfSomeClassesWin(name: String, flags: String, ids: [Int32]) throws {
        let text = TokenizerJSONTests.good.replacing(
            #""post_processor":null"#,
            with:
                #""post_processor":{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"b","type_id":0}},{"Sequence":{"id":"A","type_id":0}}],"special_tokens":{"b":{"id":"b","ids":[1],"tokens":["b"]}}}"#
        )
        let config = #"{"tokenizer_class":"\#(name)","bos_token":"<s>","eos_token":"c"\#(flags)}"#
        let tokenizer = try Tokenizer(
            json: JSON.parse(Array(text.utf8), path: "t.json"), path: "t.json",
            config: TokenizerConfig(json: JSON.parse(Array(config.utf8), path: "c.json"), path: "c.json"))
        #expect(tokenizer.encode("ab") == ids)
    }

    @Test func embeddingsMustSuffice() throws {
        try inFolder { file in
            let json = try file("tokenizer.json", TokenizerJSONTests.good)
            func load(_ embeddings: Int, config: String = "{}", template: String? = nil) throws -> Tokenizer {
                var files = Checkpoint.TokenizerFiles(tokenizer: json)
                files.tokenizerConfig = try file("config.json", config)
                files.chatTemplate = try template.map { try file("template.jinja", $0) }
                return try Tokenizer.load(.huggingFace(files), embeddings: embeddings, of: "model")
            }
            #expect(try load(6).encode("a<s>") == [0, 5] && load(64).vocabularySize == 6)
            // Nothing names the special token with the id 5.
            let without = try load(5)
            #expect(without.vocabularySize == 5 && without.encode("a<s>") == [0])
            let reason = "model: has a tokenizer of 6 tokens and embeddings for "
            for error in [
                #expect(throws: FileError.self) { try load(4) },
                #expect(throws: FileError.self) { try load(5, config: #"{"eos_token":"<s>"}"#) },
                #expect(throws: FileError.self) { try load(5, template: "{{ '<s>' }}") },
            ] { #expect(error?.description.contains(reason) == true) }
        }
    }

    private func inFolder(_ body: (_ file: (String, String) throws -> String) throws -> Void) throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "loravk-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        try body { name, text in
            try Data(text.utf8).write(to: folder.appending(path: name))
            return folder.appending(path: name).path
        }
    }

    @Test func loadsFromAFolder() throws {
        try inFolder { file in
            let json = try file("tokenizer.json", TokenizerJSONTests.good)
            let config = try file("tokenizer_config.json", #"{"eos_token":"<s>","chat_template":"old"}"#)
            let generation = try file("generation_config.json", #"{"eos_token_id":[4,5]}"#)
            let template = try file("chat_template.jinja", "new")
            var files = Checkpoint.TokenizerFiles(tokenizer: json)
            (files.tokenizerConfig, files.generationConfig) = (config, generation)
            files.chatTemplate = template
            let tokenizer = try Tokenizer.load(.huggingFace(files))
            #expect(tokenizer.specialIDs.eos == 5 && tokenizer.specialIDs.stops == [4, 5])
            #expect(tokenizer.chatTemplate == "new")
            let plain = try Tokenizer.load(.huggingFace(.init(tokenizer: json)))
            #expect(plain.specialIDs.eos == nil && plain.chatTemplate == nil)
            let bad = try file("bad.json", #"{"eos_token_id":"x"}"#)
            var wrong = Checkpoint.TokenizerFiles(tokenizer: json)
            wrong.generationConfig = bad
            #expect(throws: FileError.self) { try Tokenizer.load(.huggingFace(wrong)) }

            // Only the map of special tokens, or only the model's config, says how a text ends.
            var mapped = Checkpoint.TokenizerFiles(tokenizer: json)
            mapped.specialTokensMap = try file("map.json", #"{"eos_token":{"content":"<s>"}}"#)
            #expect(try Tokenizer.load(.huggingFace(mapped)).specialIDs.eos == 5)
            var modelled = Checkpoint.TokenizerFiles(tokenizer: json)
            modelled.modelConfig = try file("config.json", #"{"eos_token_id":[3,2]}"#)
            let byModel = try Tokenizer.load(.huggingFace(modelled))
            #expect(byModel.specialIDs.eos == 3 && byModel.specialIDs.stops == [2, 3])
        }
    }
}
