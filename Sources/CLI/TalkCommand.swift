// What a line of a talk can ask for that is no message.

import Checkpoints
import LoRAVK
import Tokenizer

enum TalkCommand {
    case help, reset, undo, settings, quit
    case save(String)
    case load(String)
    /// nil: shows it.
    case adapter(String?)
    /// nil: now, to the last question.
    case base(Bool?)
    case set(String, String)

    static let list = """
        /help                        this list
        /reset                       forgets what was said
        /undo                        takes the last question and its answer back
        /save FILE                   writes the conversation (JSON, as --messages reads it)
        /load FILE                   goes on with one
        /adapter PATH[=WEIGHT],…     another adapter, or a sum of some; none: the base model
        /base [on|off]               the base model's answer to the last question; on: after each answer
        /set NAME VALUE              temperature, top-k, top-p, repetition-penalty, seed, max-tokens, stop
        /quit                        ends
        A message that begins with / has two of them.
        """

    /// nil: a message.
    init?(_ line: String) throws(ConfigError) {
        guard line.hasPrefix("/"), !line.hasPrefix("//") else { return nil }
        let words = line.dropFirst().split(separator: " ", maxSplits: 1)
        let name = words.first.map(String.init) ?? ""
        let rest = words.count > 1 ? words[1].drop { $0 == " " } : ""
        let argument = String(rest.reversed().drop { $0.isWhitespace }.reversed())
        func needed(_ what: String) throws(ConfigError) -> String {
            guard !argument.isEmpty else { throw ConfigError("/\(name) needs \(what); /help lists commands") }
            return argument
        }
        switch (name, argument) {
        case ("help", ""): self = .help
        case ("reset", ""): self = .reset
        case ("undo", ""): self = .undo
        case ("quit", ""), ("exit", ""): self = .quit
        case ("save", _): self = .save(try needed("the name of a file"))
        case ("load", _): self = .load(try needed("the name of a file"))
        case ("adapter", _): self = .adapter(argument.isEmpty ? nil : argument)
        case ("base", ""): self = .base(nil)
        case ("base", "on"), ("base", "off"): self = .base(argument == "on")
        case ("set", ""): self = .settings
        case ("set", _):
            let parts = argument.split(separator: " ", maxSplits: 1).map(String.init)
            self = .set(parts[0], parts.count > 1 ? parts[1] : "")
        default: throw ConfigError("there is no command '/\(line.dropFirst())'; /help lists commands")
        }
    }
}

extension TalkLoop {
    /// False: the end.
    func run(_ command: TalkCommand) throws -> Bool {
        switch command {
        case .help: Terminal.error(TalkCommand.list)
        case .quit: return false
        case .reset: conversation.reset()
        case .undo:
            guard conversation.undo() else { throw ConfigError("nothing was asked yet") }
        case .save(let path): try save(path)
        case .load(let path): try load(path)
        case .adapter(nil): Terminal.error("the adapter is \(mix?.text ?? "none")")
        case .adapter(let text?): try change(text)
        case .base(nil): try answerByBase()
        case .base(let isShown?):
            try checkBase()
            showsBase = isShown
        case .settings: show(answerer.options)
        case .set(let name, let value):
            var options = answerer.options
            try options.set(name, value)
            try options.validate()
            answerer.options = options
        }
        return true
    }

    private func save(_ path: String) throws {
        guard !FileSystem.exists(path) || ownFiles.contains(path) else {
            throw FileError(path, "is there already", remedy: "choose another name")
        }
        try conversation.chat.write(to: path)
        ownFiles.insert(path)
        Terminal.error("saved \(path), \(conversation.chat.messages.count) messages")
    }

    private func load(_ path: String) throws {
        let chats = try Chat.read(path)
        guard chats.count == 1 else { throw FileError(path, "holds \(chats.count) chats, expected one") }
        conversation.load(chats[0])
        Terminal.error("loaded \(path), \(chats[0].messages.count) messages")
    }

    private func change(_ text: String) throws {
        try checkBase()
        let mix = text == "none" ? nil : AdapterMix(text)
        answerer.generator.adapter = try mix.map { try Adapter.load($0, for: answerer.model) }
        self.mix = mix
    }

    /// An adapter may have taken the place of weights when the model was loaded.
    func checkBase() throws {
        guard answerer.model.checkpoint.isChanged else { return }
        throw ConfigError(
            "\(mix?.text ?? "the adapter") changes more than layers of the blocks, so the model was loaded with it; start "
                + "again without it for the base model or another adapter")
    }

    private func show(_ options: AnswerOptions) {
        let sampling = options.sampling
        Terminal.error(
            "temperature \(sampling.temperature), top-k \(sampling.topK), top-p \(sampling.topP), "
                + "repetition-penalty \(sampling.repetitionPenalty), seed \(sampling.seed), "
                + "max-tokens \(options.maxTokens), stop "
                + (options.stopTexts.isEmpty
                    ? "none" : options.stopTexts.map(Terminal.quoted).joined(separator: " ")))
    }
}

extension AnswerOptions {
    /// `stop` adds one, and takes all away where nothing stands behind it.
    mutating func set(_ name: String, _ value: String) throws(ConfigError) {
        func number<Number: LosslessStringConvertible>(_ type: Number.Type) throws(ConfigError) -> Number {
            guard let number = Number(value) else {
                throw ConfigError("/set \(name) needs a number, not '\(value)'")
            }
            return number
        }
        switch name {
        case "temperature": sampling.temperature = try number(Double.self)
        case "top-k": sampling.topK = try number(Int.self)
        case "top-p": sampling.topP = try number(Double.self)
        case "repetition-penalty": sampling.repetitionPenalty = try number(Double.self)
        case "seed": sampling.seed = try number(UInt64.self)
        case "max-tokens": maxTokens = try number(Int.self)
        case "stop": stopTexts = value.isEmpty ? [] : stopTexts + [value]
        default:
            throw ConfigError(
                "there is nothing to set called '\(name)'; there are temperature, top-k, top-p, repetition-penalty, seed, "
                    + "max-tokens and stop")
        }
    }
}
