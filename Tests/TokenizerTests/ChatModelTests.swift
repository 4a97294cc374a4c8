// Models' own chat templates: rendered as transformers does, and of what they write the assistant's part
// learned (Data/chat_models.json, written by Tests/Oracles/chat_model_fixtures.py).

import Checkpoints
import Testing
import Tokenizer

/// A template of Data/templates and what transformers makes of each chat.
struct ChatModel {
    let name: String
    let renderer: ChatRenderer
    private let cases: JSONFields

    static let fixtures = try! JSONFields(
        JSON.read(Fixtures.folder + "chat_models.json"), path: "chat_models.json")
    static let names = try! fixtures.fields("models").object.keys
    static let chats = try! fixtures.fields("chats").object.keys

    init(_ name: String) throws {
        let date = TemplateDate(
            year: 2026, month: 3, day: 5, hour: 14, minute: 7, second: 9, weekday: 4, yearDay: 63)
        self.name = name
        renderer = ChatRenderer(
            template: try ChatTemplate(Fixtures.text("templates/\(name).jinja")),
            specialTokens: try Self.fixtures.fields("tokens").object, date: date)
        cases = try Self.fixtures.fields("models").fields(name)
    }

    static func chat(_ name: String) throws -> (chat: Chat, addsGenerationPrompt: Bool) {
        let chat = try fixtures.fields("chats").fields(name)
        let messages = try chat.array("messages").map { try JSONFields($0, path: name).object }
        var options = try chat.fields("options").object
        let prompt = options["add_generation_prompt"] == .bool(true)
        options["add_generation_prompt"] = nil
        return (Chat(messages, variables: options), prompt)
    }

    struct Expectation {
        var text: String
        /// What stands in the template's marks; nil without marks.
        var marked: [String]?
        /// Of each answer, what it adds to the chat before it.
        var answers: [String?] = []
    }

    /// nil where transformers refuses the chat.
    func expected(_ chat: String) throws -> Expectation? {
        guard let fields = try cases.optionalFields(chat) else { return nil }
        func text(_ json: JSON) -> String? { if case .string(let text) = json { text } else { nil } }
        return Expectation(
            text: try fields.string("text"),
            marked: try fields.optionalArray("marked")?.compactMap(text),
            answers: try fields.optionalArray("learned")?.map(text) ?? [])
    }
}

extension LearnedChat {
    var parts: [String] {
        let bytes = Array(text.utf8)
        return learned.map { String(decoding: bytes[$0], as: UTF8.self) }
    }
}

struct ChatModelTests {
    @Test(arguments: ChatModel.names) func rendersAsTransformersDoes(_ name: String) throws {
        let model = try ChatModel(name)
        for key in ChatModel.chats {
            let (chat, prompt) = try ChatModel.chat(key)
            guard let expected = try model.expected(key) else {
                #expect(throws: FileError.self, "\(name), \(key)") {
                    try model.renderer.render(chat, addGenerationPrompt: prompt)
                }
                continue
            }
            let text = try model.renderer.render(chat, addGenerationPrompt: prompt)
            #expect(ExactString(text) == ExactString(expected.text), "\(name), \(key)")
        }
    }

    @Test(arguments: ChatModel.names) func learnsWhatTheAssistantWrites(_ name: String) throws {
        let model = try ChatModel(name)
        for key in ChatModel.chats {
            let (chat, _) = try ChatModel.chat(key)
            guard let expected = try model.expected(key) else { continue }
            let learned = try model.renderer.learned(chat)
            let all = learned.parts.joined(separator: "|")
            for other in ["Asked", "Resulting", "Systemic", "once?"] {
                #expect(!all.contains(other), "\(name), \(key): \(all)")
            }
            // Null and parts that Python would print into the text are not learned like that.
            let given = try model.renderer.render(chat, addGenerationPrompt: false)
            let isSame = ExactString(given) == ExactString(learned.text)
            #expect(isSame || ["calls", "parts"].contains(key), "\(name), \(key)")
            if let marked = expected.marked {
                if isSame { #expect(learned.parts == marked, "\(name), \(key)") }
                continue
            }
            for said in ["Answered one.", "Answered two.", "Answered 一 👋"] where learned.text.contains(said) {
                #expect(all.contains(said), "\(name), \(key): \(all)")
            }
            #expect(learned.notes.lostAnswers == 0, "\(name), \(key)")
            guard isSame, learned.parts.count == expected.answers.count else { continue }
            for (index, (part, answer)) in zip(learned.parts, expected.answers).enumerated() {
                // Before a first answer there is no chat to ask for its prompt.
                guard let answer, index > 0 || key != "assistant-first" else { continue }
                // A line end between turns may belong to the turn before.
                #expect(part == answer || part == answer + "\n", "\(name), \(key)")
            }
        }
    }
}

// MARK: Both ways to find answers

struct ChatTurnTests {
    /// Chats of one to eight turns, some with a system message, tools, empty or odd answers.
    private static func chat(_ random: inout SplitMix, hasSystem: Bool) -> Chat {
        func text() -> String {
            let words = ["one", "two\n", " spaced ", "é👋", "</b>", "```", "line\n\nline", "None", "<think>"]
            return (0...random.below(3)).map { _ in words[random.below(words.count)] }.joined(separator: " ")
        }
        var messages: [JSON.Object] = []
        if random.below(3) == 0, hasSystem {
            messages.append(["role": .string("system"), "content": .string(text())])
        }
        for _ in 0...random.below(4) {
            messages.append(["role": .string("user"), "content": .string("?" + text())])
            messages.append([
                "role": .string("assistant"), "content": .string(random.below(8) == 0 ? "" : "!" + text()),
            ])
        }
        return Chat(messages)
    }

    /// Where the prefix way finds an answer, the trace finds the same, or one with the line end or token that
    /// ends it.
    @Test(arguments: ChatModel.names) func tracesAndPrefixesAgree(_ name: String) throws {
        let renderer = try ChatModel(name).renderer
        var random = SplitMix(state: UInt64(name.utf8.reduce(7) { $0 &* 31 &+ Int($1) } & 0xFFFF))
        var (same, rewritten) = (0, 0)
        for _ in 0..<20 {
            // Mistral's put the system message into the last question, so that no chat begins as its prefix
            // does.
            let made = Self.chat(&random, hasSystem: !name.hasPrefix("mistral"))
            // Ministral's refuses empty answers.
            guard let (chat, whole) = try? renderer.whole(made) else { continue }
            let bytes = Array(whole.text.utf8)
            var turns = ChatTurns(renderer, chat, whole)
            for index in chat.messages.indices where chat.isAssistant(index) {
                let answer = turns.tracedAnswer(index)
                let traced = try #require(answer, "\(name)")
                guard let found = turns.answerByPrefixes(index) else {
                    rewritten += 1
                    continue
                }
                same += 1
                #expect(traced.lowerBound == found.lowerBound, "\(name): \(whole.text)")
                let more = bytes[min(found.upperBound, traced.upperBound)..<traced.upperBound]
                #expect(
                    traced.upperBound >= found.upperBound && more.allSatisfy { $0 == 0x0A },
                    "\(name): \(whole.text)")
            }
        }
        #expect(same > 0 && same + rewritten >= 15)
    }

    /// However a template comes to its messages; in a macro nothing is traced, and prefixes tell.
    @Test(arguments: [
        "{% for i in range(messages | length) %}{% set m = messages[i] %}TURN{% endfor %}PROMPT",
        "{% for i in range(1) %}{% for m in messages[:1] %}TURN{% endfor %}{% endfor %}"
            + "{% for m in messages[1:] %}TURN{% endfor %}PROMPT",
        "{% macro all() %}{% for m in messages %}TURN{% endfor %}{% endmacro %}{{ all() }}PROMPT",
        "{% set text %}{% for m in messages %}TURN{% endfor %}{% endset %}{{ text }}PROMPT",
        "{% for m in messages %}TURN{% if loop.last %}PROMPT{% endif %}{% endfor %}",
        "{% for m in messages %}{{ '<e>' if not loop.first }}<{{ m.role }}>{{ m.content }}{% endfor %}<e>PROMPT",
    ])
    func anyWayToTheMessages(_ source: String) throws {
        let source = source.replacing("TURN", with: "<{{ m.role }}>{{ m.content }}<e>")
            .replacing("PROMPT", with: "{% if add_generation_prompt %}<assistant>{% endif %}")
        let renderer = ChatRenderer(template: try ChatTemplate(source), specialTokens: [:], date: .now())
        let chat = Chat([
            (role: "user", content: "a"), (role: "assistant", content: "b"), (role: "user", content: "c"),
            (role: "assistant", content: "<a"),
        ])
        let learned = try renderer.learned(chat)
        #expect(learned.text == "<user>a<e><assistant>b<e><user>c<e><assistant><a<e>")
        #expect(learned.parts == ["b<e>", "<a<e>"] && learned.notes == ChatNotes())
    }

    @Test(arguments: ["chatml", "qwen3", "mistral-nemo", "gpt-oss"])
    func timeGrowsWithTheTurns(_ name: String) throws {
        let renderer = try ChatModel(name).renderer
        let turns = (0..<400).flatMap {
            [(role: "user", content: "Asked \($0)"), (role: "assistant", content: "Said \($0)")]
        }
        let began = ContinuousClock.now
        let learned = try renderer.learned(Chat(turns))
        let took = ContinuousClock.now - began
        #expect(learned.learned.count == 400 && learned.notes.lostAnswers == 0)
        // A generous bound: one rendering for each turn would take a minute.
        #expect(took < .seconds(10), "\(took)")
    }
}

struct SplitMix {
    var state: UInt64

    mutating func below(_ bound: Int) -> Int {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return Int((z ^ (z >> 31)) % UInt64(bound))
    }
}
