// Chats as data: which tokens are learned of what people's files hold, and what is said about the rest.

import Checkpoints
import Foundation
import LoRAVK
import Testing
import Tokenizer

@Suite struct ChatDataTests {
    private static let folder =
        URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        .deletingLastPathComponent().deletingLastPathComponent().path + "/Examples/tiny/model"

    /// The tokenizer of Examples/tiny, with another template or other special tokens.
    private static func tokenizer(
        template: String? = nil, _ change: (inout TokenizerConfig) -> Void = { _ in }
    ) throws -> Tokenizer {
        let path = "\(folder)/tokenizer_config.json"
        var config = try TokenizerConfig(json: JSON.read(path), path: path)
        config.chatTemplate = template ?? config.chatTemplate
        change(&config)
        return try Tokenizer(
            json: JSON.read("\(folder)/tokenizer.json"), path: "\(folder)/tokenizer.json", config: config)
    }

    private func read(
        _ text: String, _ tokenizer: Tokenizer? = nil, _ change: (inout TextFormat) -> Void = { _ in }
    ) throws -> Dataset {
        var format = TextFormat()
        change(&format)
        return try withTemporaryFolder { folder in
            try AtomicFile.write(text, to: "\(folder)/data.jsonl")
            return try Dataset(
                "\(folder)/data.jsonl", tokenizer: tokenizer ?? Self.tokenizer(), format: format)
        }
    }

    private func learned(_ example: Example) throws -> String {
        let targets = zip(example.tokens, example.labels).filter { $1 >= 0 }.map(\.0)
        return try Self.tokenizer().decode(targets, skipSpecialTokens: false)
    }

    private func text(_ example: Example) throws -> String {
        try Self.tokenizer().decode(example.tokens, skipSpecialTokens: false)
    }

    // MARK: Messages

    private static let toolTemplate =
        "{% if tools %}{{ '<|im_start|>system\\n# Tools\\n' }}{% for t in tools %}{{ t | tojson }}{{ '\\n' }}{% endfor %}"
        + "{{ '<|im_end|>\\n' }}{% endif %}{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' }}"
        + "{% if message['content'] %}{{ message['content'] }}{% endif %}{% for call in message['tool_calls'] %}"
        + "{{ '<tool_call>' }}{{ call['function'] | tojson }}{{ '</tool_call>' }}{% endfor %}{{ '<|im_end|>\\n' }}"
        + "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"

    private static func toolChat(_ content: String, arguments: String = #"{"city": "Oslo"}"#) -> String {
        """
        {"messages": [{"role": "user", "content": "Weather in Oslo?"}, {"role": "assistant", "content": \(content), \
        "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "get_weather", \
        "arguments": \(arguments)}}]}, {"role": "tool", "tool_call_id": "c1", "content": "4 degrees"}, \
        {"role": "assistant", "content": "It is 4 degrees."}], "tools": [{"type": "function", "function": \
        {"name": "get_weather", "description": "Weather of a city", "parameters": {"type": "object", \
        "properties": {"city": {"type": "string"}}, "required": ["city"]}}}]}
        """
    }

    @Test func toolCallsAreLearned() throws {
        let tokenizer = try Self.tokenizer(template: Self.toolTemplate)
        let empty = try read(Self.toolChat(#""""#), tokenizer)
        #expect(empty.countedTokens == 68 && empty.warnings.isEmpty)
        #expect(
            try learned(empty.examples[0]) == """
                <tool_call>{"name": "get_weather", "arguments": {"city": "Oslo"}}</tool_call><|im_end|>
                It is 4 degrees.<|im_end|>

                """)
        // Null instead of an empty text, and arguments as the interfaces write them, are the same.
        #expect(try read(Self.toolChat("null"), tokenizer).examples == empty.examples)
        let written = Self.toolChat("null", arguments: #""{\"city\": \"Oslo\"}""#)
        #expect(try read(written, tokenizer).examples == empty.examples)
        let again = """
            {"messages":[{"role":"user","content":"Weather in Rome?"},{"role":"assistant","content":"","tool_calls":\
            [{"type":"function","function":{"name":"get_weather","arguments":{"city":"Rome"}}}]}]}
            """
        #expect(try read(again, tokenizer).countedTokens == 55)
    }

    @Test func whatATemplateLeavesOutIsSaid() throws {
        let data = try read(Self.toolChat(#""""#))
        #expect(
            data.warnings == [
                "the chat template leaves out 'tool_calls' once: it is not learned",
                "the chat template leaves out 'tools' once: it is not learned",
            ])
        let thoughts = try read(
            """
            {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b", "reasoning_content": "hm"}]}
            {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b", "reasoning_content": "so"}]}
            """)
        #expect(
            thoughts.warnings == [
                "the chat template leaves out 'reasoning_content' 2 times: it is not learned"
            ])
    }

    @Test func messagesOfWeightZeroAreNotLearned() throws {
        let line = """
            {"messages": [{"role": "user", "content": "Say hello."}, {"role": "assistant", "content": "Wrong answer", \
            KEY}, {"role": "user", "content": "Again."}, {"role": "assistant", "content": "Hello there", "weight": 1}]}
            """
        for key in [#""weight": 0"#, #""weight": 0.0"#, #""train": false"#] {
            let data = try read(line.replacing("KEY", with: key))
            #expect(try learned(data.examples[0]) == "Hello there<|im_end|>\n" && data.countedTokens == 6)
            let all = try read(line.replacing("KEY", with: key)) { $0.learnsPrompts = true }
            let said = try learned(all.examples[0])
            #expect(said.contains("Again.") && said.contains("Say hello.") && !said.contains("Wrong"))
        }
        let wrong = errorText { _ = try read(line.replacing("KEY", with: #""weight": 0.5"#)) }
        #expect(
            wrong?.contains("data.jsonl:1: 'weight' is the number 0.5, expected 0 or 1") == true,
            "\(wrong ?? "")")
    }

    @Test func otherFormsOfAChatAreTheSame() throws {
        let plain = try read(
            #"{"messages": [{"role": "user", "content": "Say hello."}, {"role": "assistant", "content": "Hello there"}]}"#
        ).examples
        for line in [
            #"{"messages": [{"role": "user", "content": [{"type": "text", "text": "Say hello."}]}, {"role": "assistant", "content": [{"type": "text", "text": "Hello there"}]}]}"#,
            #"{"conversations": [{"from": "human", "value": "Say hello."}, {"from": "gpt", "value": "Hello there"}]}"#,
            #"{"conversations": [{"role": "user", "content": "Say hello."}, {"role": "assistant", "content": "Hello there"}]}"#,
            #"{"instruction": "Say hello.", "input": "", "output": "Hello there"}"#,
            #"{"prompt": [{"role": "user", "content": "Say hello."}], "completion": [{"role": "assistant", "content": "Hello there"}]}"#,
        ] { #expect(try read(line).examples == plain, "\(line)") }
        for (line, reason) in [
            (
                #"{"messages": [{"role": "user", "content": "Say hello."}, {"role": "assistant", "content": null}]}"#,
                "data.jsonl:1: 'content' is null, expected a string"
            ),
            (
                #"{"messages": [{"role": "user", "content": [{"type": "image"}]}, {"role": "assistant", "content": "a"}]}"#,
                "'type' is the string \"image\", expected \"text\"; only text is learned"
            ),
            (
                #"{"conversations": [{"from": "nobody", "value": "a"}]}"#,
                "expected human, gpt, system or tool"
            ),
        ] {
            let error = errorText { _ = try read(line) }
            #expect(error?.contains(reason) == true, "\(error ?? "read")")
        }
    }

    // MARK: Turns

    @Test func chatsThatBeginWithTheAssistantAreLearned() throws {
        let data = try read(
            #"{"messages": [{"role": "assistant", "content": "Hi, how can I help?"}, {"role": "user", "content": "Say hello."}, {"role": "assistant", "content": "Hello there"}, {"role": "assistant", "content": ""}]}"#
        )
        #expect(
            try learned(data.examples[0])
                == "Hi, how can I help?<|im_end|>\nHello there<|im_end|>\n<|im_end|>\n"
                && data.warnings.isEmpty)
        // A template that refuses such a chat says so, with the line.
        let strict = try Self.tokenizer(
            template: "{% if messages[0].role != 'user' %}{{ raise_exception('users begin') }}{% endif %}")
        let error = errorText {
            _ = try read(#"{"messages": [{"role": "assistant", "content": "Hi"}]}"#, strict)
        }
        #expect(
            error?.contains(
                "data.jsonl:1: chat template, line 1: the template refuses this chat: users begin") == true)
    }

    @Test func aPromptThatIsNoPartOfTheTurnIsNotLearned() throws {
        let tokenizer = try Self.tokenizer(
            template:
                "{% for m in messages %}{% if m['role'] == 'user' %}{{ '<|im_start|>' + m['content'] }}{% endif %}"
                + "{% if m['role'] == 'assistant' %}{% set c = m['content'].split('</think>')[-1] %}"
                + "{{ '<|im_end|>' + c + '<|endoftext|>' }}{% endif %}{% endfor %}"
                + "{% if add_generation_prompt %}{{ '<|im_end|><think>\\n' }}{% endif %}")
        let line =
            #"{"messages": [{"role": "user", "content": "Say hello."}, {"role": "assistant", "content": "Hello there"}]}"#
        #expect(try learned(read(line, tokenizer).examples[0]) == "Hello there<|endoftext|>")
    }

    /// The model that has seen an answer with its thinking dropped sees it so again in the history.
    @Test func answersThatAreWrittenAnewAreLearnedAsTheyStand() throws {
        let tokenizer = try Self.tokenizer(
            template: "{% for m in messages %}<|im_start|>{{ m.role }}\n"
                + "{{ m.content if loop.last else m.content.split('</think>')[-1] }}<|im_end|>\n{% endfor %}"
                + "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}")
        let data = try read(
            #"{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "<think>so</think>b"}, {"role": "user", "content": "c"}, {"role": "assistant", "content": "<think>then</think>d"}]}"#,
            tokenizer)
        #expect(try learned(data.examples[0]) == "b<|im_end|>\n<think>then</think>d<|im_end|>\n")
        #expect(
            try text(data.examples[0]) == """
                <|im_start|>user
                a<|im_end|>
                <|im_start|>assistant
                b<|im_end|>
                <|im_start|>user
                c<|im_end|>
                <|im_start|>assistant
                <think>then</think>d<|im_end|>

                """)
    }

    @Test func marksOfATemplateGoBeforeEverything() throws {
        let tokenizer = try Self.tokenizer(
            template:
                "{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.role == 'assistant' %}{% generation %}"
                + "{{ m.content }}<|im_end|>{% endgeneration %}{% else %}{{ m.content }}<|im_end|>{% endif %}\n{% endfor %}"
        )
        let line =
            #"{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"KEY}, {"role": "assistant", "content": "c"}]}"#
        #expect(
            try learned(read(line.replacing("KEY", with: ""), tokenizer).examples[0])
                == "b<|im_end|>c<|im_end|>")
        let one = try read(line.replacing("KEY", with: #", "weight": 0"#), tokenizer)
        #expect(try learned(one.examples[0]) == "c<|im_end|>")
    }

    /// Of templates without an end of their own (GLM-4's), the next turn's first token is what stops the model.
    @Test func aTurnEndsWithATokenThatStops() throws {
        let tokenizer = try Self.tokenizer(
            template: "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}{% endfor %}"
        ) { $0.stopIDs = [1] }
        let data = try read(
            #"{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}, {"role": "assistant", "content": "d"}]}"#,
            tokenizer)
        #expect(try learned(data.examples[0]).contains("b<|im_start|>"))
        #expect(
            data.warnings == [
                "1 answer is followed by no token that ends a turn: the model does not learn to stop there"
            ])
    }

    @Test func aLongChatIsReadInAMoment() throws {
        let turns = (0..<400).map {
            #"{"role": "user", "content": "Asked \#($0)"}, {"role": "assistant", "content": "Said \#($0)"}"#
        }
        let line = #"{"messages": ["# + turns.joined(separator: ", ") + "]}"
        let began = ContinuousClock.now
        let data = try read(line) { $0.maxTokens = 100_000 }
        #expect(ContinuousClock.now - began < .seconds(10))
        #expect(try learned(data.examples[0]).split(separator: "<|im_end|>\n").count == 400)
    }

    // MARK: Dates

    @Test func aTemplateWritesOneDateForAll() throws {
        let tokenizer = try Self.tokenizer(
            template:
                "{{ strftime_now('%Y-%m-%d %H:%M:%S') }}{% for m in messages %}<|im_start|>{{ m.role }}\n"
                + "{{ m.content }}<|im_end|>\n{% endfor %}"
                + "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}")
        let line = #"{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}"#
        let date = try #require(TemplateDate("2026-03-05 14:07:09"))
        #expect(date.description == "2026-03-05 14:07:09" && date.weekday == 4 && date.yearDay == 63)
        #expect(TemplateDate("2026-13-05 14:07:09") == nil && TemplateDate("today") == nil)
        let data = try read(line + "\n" + line, tokenizer) { $0.date = date }
        #expect(data.date == date && data.examples[0] == data.examples[1])
        #expect(try text(data.examples[0]).hasPrefix("2026-03-05 14:07:09<|im_start|>"))
        #expect(try read(line).date == nil)
    }

    // MARK: Texts and tokens

    /// Whether the post-processor adds the tokens or the flags of the config do.
    @Test(arguments: [nil, true] as [Bool?])
    func aTextWithItsOwnFirstAndLastTokenHasThemOnce(flag: Bool?) throws {
        var config = TokenizerConfig()
        (config.bosToken, config.eosToken) = ("<s>", "</s>")
        (config.addsBOS, config.addsEOS) = (flag, flag)
        let path =
            URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent().path
            + "/TokenizerTests/Data/llama2.tokenizer.json"
        let tokenizer = try Tokenizer(json: JSON.read(path), path: path, config: config)
        let (bos, eos) = (try #require(tokenizer.id("<s>")), try #require(tokenizer.id("</s>")))
        #expect(tokenizer.prefix == [bos] && tokenizer.suffix == (flag == true ? [eos] : []))
        let said = "[INST] Say hello. [/INST] Hello there "
        for text in [said, "<s>\(said)</s>"] {
            let example = try read(#"{"text": "\#(text)"}"#, tokenizer).examples[0]
            #expect(example.tokens.first == bos && example.tokens.last == eos)
            #expect(example.tokens.count { [bos, eos].contains($0) } == 2)
            #expect(example.tokens.count == example.labels.count)
        }
    }

    @Test func masksOfTokensAreFollowed() throws {
        let ids = [1, 307, 201, 932, 289, 2, 201]
        func line(_ ids: [Int], _ more: String) -> String { "{\"input_ids\": \(ids), \(more)}" }
        let plain = try read(line(ids, #""labels": [-100, -100, -100, 932, 289, 2, 201]"#)).examples
        for more in [
            #""completion_mask": [0, 0, 0, 1, 1, 1, 1]"#, #""loss_mask": [0, 0, 0, 1, 1, 1, 1]"#,
            #""labels": [1, 307, 201, 932, 289, 2, 201], "assistant_masks": [0, 0, 0, 1, 1, 1, 1]"#,
        ] { #expect(try read(line(ids, more)).examples == plain, "\(more)") }
        let padded = line(
            [0, 0] + ids + [0],
            #""attention_mask": [0, 0, 1, 1, 1, 1, 1, 1, 1, 0], "completion_mask": [0, 0, 0, 0, 0, 1, 1, 1, 1, 0]"#
        )
        #expect(try read(padded).examples == plain)
        let unlabelled = try read(line(ids + [0, 0], #""attention_mask": [1, 1, 1, 1, 1, 1, 1, 0, 0]"#))
        #expect(
            unlabelled.examples == [Example(tokens: ids.map(Int32.init))] && unlabelled.countedTokens == 6)
        // Weights go with their tokens, through masks and cuts.
        let weighted = try read(
            line(
                [0] + ids,
                #""attention_mask": [0, 1, 1, 1, 1, 1, 1, 1], "weights": [9, 0, 0.5, -2, 1, 1, 1e-3, 3]"#))
        #expect(weighted.examples[0].weights == [0, 0.5, -2, 1, 1, 1e-3, 3])
        for (more, reason) in [
            (#""weights": [1, 2]"#, "has 7 input_ids and 2 weights, expected as many"),
            (#""weights": [1, 1, 1, 1, 1, 1, 1e7]"#, "expected numbers from -1e6 to 1e6"),
            (#""weights": [1, 1, 1, 1, 1, 1, "1"]"#, "'weights' holds the string \"1\""),
            (#""loss_mask": [1]"#, "has 7 input_ids and 1 loss_mask, expected as many"),
            (
                #""attention_mask": [1, 1, 1, 1, 1, 1, 2]"#,
                "'attention_mask' holds the number 2, expected 0 or 1"
            ),
        ] {
            let error = errorText { _ = try read(line(ids, more)) }
            #expect(error?.contains(reason) == true, "\(error ?? "read")")
        }
    }
}
