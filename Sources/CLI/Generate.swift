import ArgumentParser
import Checkpoints
import LoRAVK
import Tokenizer

struct Generate: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Answer prompts, with or without an adapter.",
        discussion: """
            A prompt is put into the model's chat template where it has one; --raw continues it as it is. Without \
            --prompt and --messages each line of the standard input is a prompt of its own. What prompts have in common at \
            their beginning is computed once. `lora-vk chat` holds a conversation.

            --json prints a JSON object a line: index, prompt or messages, answer, finish_reason (stop, stop_string, length, \
            context, interrupted), prompt_tokens, kept_tokens (of these, in the cache already), answer_tokens, prompt_seconds, \
            answer_seconds and, with --logprobs, logprobs (token, text, logprob, top).
            """)

    @OptionGroup var modelOptions: ModelOptions
    @OptionGroup(title: "Adapter") var adapterOptions: AdapterOptions
    @OptionGroup var chat: ChatOptions

    @Option(help: "What to answer; may be given several times.")
    var prompt: [String] = []

    @Option(
        help: ArgumentHelp(
            """
            Chats to answer: a JSON list of messages, an object with `messages` (and `tools`), a list of these, or in a .jsonl \
            file one a line.
            """, valueName: "file"),
        completion: .file())
    var messages: String?

    @Option(help: "A system message for the chat template.")
    var system: String?

    @Flag(help: "Continue the prompt as it is, without the chat template.")
    var raw = false

    @Flag(help: "Print a JSON object for each answer, when it is whole.")
    var json = false

    @Option(
        help: ArgumentHelp(
            "With --json: the log-probability of each token, and of so many of the likeliest in its place.",
            valueName: "count"))
    var logprobs: Int?

    @OptionGroup(title: "Answers") var settings: AnswerSettings

    func validate() throws {
        if logprobs != nil, !json { throw ValidationError("--logprobs needs --json, which prints them.") }
        if raw, messages != nil {
            throw ValidationError("--messages needs the chat template; leave --raw out.")
        }
    }

    func run() throws {
        var options = try settings.options()
        options.logProbabilities = logprobs
        try options.validate()
        let isTyped = prompt.isEmpty && messages == nil && InputLines.areTyped
        guard !isTyped else {
            throw ConfigError(
                "there is no prompt: give --prompt, --messages or a pipe; `lora-vk chat` talks in a terminal")
        }
        let chats = try messages.map { try Chat.questions(in: $0) } ?? []
        Interrupt.install()
        let opened = try modelOptions.open(template: chat.chatTemplate, adapter: adapterOptions.mix)
        for warning in opened.tokenizer.generationWarnings { Terminal.warn(warning) }
        let answerer = try Answerer(opened, options, capacity: 1)
        var asked: [Question] = prompt.map { .text($0) }
        asked += chats.map { .chat(system.map($0.withSystem) ?? $0) }
        let tokens = try asked.map { try self.tokens($0, answerer) }
        // Once for all of them, so that the cache stays.
        try answerer.reserve(promptTokens: tokens.map(\.count).max() ?? 0)
        var index = 0
        func answer(_ question: Question, _ tokens: [Int32]) throws {
            try self.answer(question, tokens, index, answerer)
            index += 1
        }
        for (question, tokens) in zip(asked, tokens) where !Interrupt.isRequested {
            try answer(question, tokens)
        }
        if asked.isEmpty {
            var lines = InputLines()
            while let text = try lines.next(), !Interrupt.isRequested {
                if !text.isEmpty { try answer(.text(text), self.tokens(.text(text), answerer)) }
            }
        }
        answerer.model.device.savePipelines()
        if let signal = Interrupt.signal { throw CommandExit(code: 128 + signal) }
    }

    private enum Question {
        case text(String)
        case chat(Chat)
    }

    private func tokens(_ question: Question, _ answerer: Answerer) throws -> [Int32] {
        switch question {
        case .text(let text) where raw || answerer.renderer == nil: return answerer.tokenizer.encode(text)
        case .text(let text):
            let chat = Chat([(role: "user", content: text)])
            return try answerer.tokens(system.map(chat.withSystem) ?? chat)
        case .chat(let chat): return try answerer.tokens(chat)
        }
    }

    private func answer(
        _ question: Question, _ tokens: [Int32], _ index: Int, _ answerer: Answerer
    ) throws {
        try answerer.reserve(promptTokens: tokens.count)
        if json {
            let answer = try answerer.answer(tokens) { _ in }
            var line: JSON.Object = ["index": .integer(index)]
            switch question {
            case .text(let text): line["prompt"] = .string(text)
            case .chat(let chat): line["messages"] = .array(chat.messages.map { .object($0) })
            }
            line.add(answer, tokens, answerer)
            return Terminal.generated(JSON.object(line).text(.compact), terminator: "\n")
        }
        if raw, case .text(let text) = question { Terminal.generated(text) }
        _ = try answerer.answer(tokens) { Terminal.generated($0) }
        Terminal.generated("", terminator: "\n")
        if !Interrupt.isRequested { report(answerer.generator.times) }
    }

    private func report(_ times: GenerationTimes) {
        func rate(_ rate: Double) -> String {
            rate == 0
                ? ""
                : ", \(rate < 100 ? Terminal.number(rate, digits: 3) : "\(Int(rate.rounded()))") tokens/s"
        }
        let kept = times.keptTokens == 0 ? "" : " (\(times.keptTokens) kept)"
        Terminal.error(
            "prompt: \(times.keptTokens + times.promptTokens) tokens\(kept)\(rate(times.promptRate)); "
                + "answer: \(times.answerTokens) tokens\(rate(times.stepRate))")
    }
}

extension Chat {
    /// Behind a system message, in the place of its own.
    func withSystem(_ text: String) -> Chat {
        var chat = self
        if chat.messages.first?["role"] == .string("system") { chat.messages.removeFirst() }
        chat.messages.insert(["role": .string("system"), "content": .string(text)], at: 0)
        return chat
    }
}

extension JSON.Object {
    fileprivate mutating func add(_ answer: GeneratedAnswer, _ prompt: [Int32], _ answerer: Answerer) {
        let times = answerer.generator.times
        self["answer"] = .string(answer.text)
        self["finish_reason"] = .string(answer.end.rawValue)
        self["prompt_tokens"] = .integer(prompt.count)
        self["kept_tokens"] = .integer(times.keptTokens)
        self["answer_tokens"] = .integer(answer.tokens.count)
        self["prompt_seconds"] = .double(times.promptSeconds)
        self["answer_seconds"] = .double(times.stepSeconds)
        guard answerer.options.logProbabilities != nil else { return }
        func scored(_ token: Int32, _ logProbability: Double) -> JSON.Object {
            [
                "token": .integer(Int(token)),
                "text": .string(answerer.tokenizer.decode([token], skipSpecialTokens: false)),
                "logprob": .double(logProbability),
            ]
        }
        self["logprobs"] = .array(
            answer.choices.map { choice in
                var entry = scored(choice.token, choice.logProbability ?? 0)
                entry["top"] = .array(
                    choice.likeliest.map { .object(scored($0.token, $0.logProbability)) })
                return .object(entry)
            })
    }
}
