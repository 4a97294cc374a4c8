// A line, its answer, the next line. A line that begins with / is a command.

import Checkpoints
import LoRAVK
import Tokenizer
import VulkanCompute

final class TalkLoop {
    let answerer: Answerer
    var conversation: Conversation
    /// The adapter, as it was named.
    var mix: AdapterMix?
    /// Answers without the adapter, too.
    var showsBase = false
    /// With a cache of its own.
    private var base: Generator?
    private var lastPrompt: [Int32] = []
    /// Files that this conversation may replace.
    var ownFiles: Set<String> = []
    private let isTyped = InputLines.areTyped
    private let editor = InputLines.areTyped ? LineEditor() : nil

    init(_ answerer: Answerer, _ conversation: Conversation, _ mix: AdapterMix?) {
        (self.answerer, self.conversation, self.mix) = (answerer, conversation, mix)
    }

    func run() throws {
        if isTyped { Terminal.error("Type a message and press Enter; /help lists commands, Ctrl-D ends.") }
        var lines = InputLines()
        var wasInterrupted = false
        while true {
            let line = try next(&lines)
            if let signal = Interrupt.signal {
                // A second one in a row, or one that was not typed, ends it.
                guard isTyped, !wasInterrupted, Interrupt.forgive() else {
                    if isTyped { Terminal.ask("\n") }
                    throw CommandExit(code: 128 + signal)
                }
                Terminal.ask("\nCtrl-C once more or Ctrl-D ends; /help lists commands\n")
                wasInterrupted = true
                continue
            }
            guard let line else { break }
            wasInterrupted = false
            if line.allSatisfy(\.isWhitespace) { continue }
            do {
                if try !handle(line) { return }
            } catch let error as any OwnError where isTyped && !(error is VulkanError) {
                Terminal.error("\(error)")
            }
            wasInterrupted = Interrupt.isRequested && isTyped && Interrupt.forgive()
        }
        if isTyped { Terminal.ask("\n") }
    }

    private func next(_ lines: inout InputLines) throws -> String? {
        if let editor { return try editor.line(behind: "> ") }
        if isTyped { Terminal.ask("> ") }
        return try lines.next()
    }

    /// False: the end.
    private func handle(_ line: String) throws -> Bool {
        guard let command = try TalkCommand(line) else {
            try say(line.hasPrefix("//") ? String(line.dropFirst()) : line)
            return true
        }
        return try run(command)
    }

    private func say(_ text: String) throws {
        let before = conversation
        do {
            conversation.ask(text)
            let tokens = try conversation.tokens(answerer.generator.capacity, answerer.tokens)
            if conversation.firstTurn > before.firstTurn {
                Terminal.error(
                    "the context of \(answerer.generator.capacity) tokens is full: the first \(conversation.firstTurn) turns are "
                        + "no longer seen")
            }
            lastPrompt = tokens
            let answer = try answerer.answer(tokens) { Terminal.generated($0) }
            Terminal.generated("", terminator: "\n")
            conversation.note(answer: answer.text)
            if answer.end == .full {
                Terminal.error(
                    "the answer ends here: the context has \(answerer.generator.capacity) tokens; /reset empties it"
                )
            }
        } catch {
            conversation = before
            throw error
        }
        if showsBase, !Interrupt.isRequested { try answerByBase() }
    }

    /// To the last question, on the standard error.
    func answerByBase() throws {
        guard !lastPrompt.isEmpty else { throw ConfigError("nothing was asked yet") }
        try checkBase()
        let base = try self.base ?? Generator(answerer.model, nil, capacity: answerer.generator.capacity)
        base.shouldStop = answerer.generator.shouldStop
        self.base = base
        Terminal.ask("base: ")
        _ = try base.answer(lastPrompt, answerer.tokenizer, answerer.options) { piece in
            Terminal.ask(piece.text)
            return true
        }
        Terminal.ask("\n")
    }
}
