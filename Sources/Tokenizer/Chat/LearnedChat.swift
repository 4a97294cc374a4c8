// Which parts of a chat's text are learned: what the assistant writes, from where its turn parts from the
// generation prompt to the end of what the template writes for it.
//
//     whole    … <user>Hi<end> <assistant>Hey<end> <user>And?<end> <assistant>Bye<end>
//     learned                             ^^^^^^^^                            ^^^^^^^^
//
// The template's own `{% generation %}` marks go before that. The text is always the whole chat, as inference
// has it for its history. Of answers that the template writes anew there (without their thinking) the new
// form is learned.

import Checkpoints

package struct LearnedChat: Sendable {
    package var text: String
    /// In bytes of UTF-8, in order and apart.
    package var learned: [Range<Int>]
    /// Answers that are to be left out, where they were found.
    package var skipped: [Range<Int>]
    package var notes: ChatNotes
}

/// What of chats did not get into the text or the targets.
package struct ChatNotes: Sendable, Equatable {
    /// Answers that were not found in the text.
    package var lostAnswers = 0
    /// How often the value of a key is not in the text.
    package var unusedKeys: [String: Int] = [:]
    package var readsDate = false

    package init() {}

    package static func += (sum: inout ChatNotes, notes: ChatNotes) {
        sum.lostAnswers += notes.lostAnswers
        sum.unusedKeys.merge(notes.unusedKeys, uniquingKeysWith: +)
        sum.readsDate = sum.readsDate || notes.readsDate
    }
}

extension ChatRenderer {
    package func learned(_ chat: Chat) throws(FileError) -> LearnedChat {
        let (chat, whole) = try whole(chat)
        let answers = chat.messages.indices.filter(chat.isLearned)
        let others = chat.messages.indices.filter { chat.isAssistant($0) && !chat.isLearned($0) }
        var turns = ChatTurns(self, chat, whole)
        let skipped = others.map { turns.answer($0) }
        var notes = ChatNotes()
        notes.readsDate = whole.readsDate
        notes.unusedKeys = unusedKeys(chat, whole)
        let learned: [Range<Int>]
        if template.marksGeneration {
            // Where a message that is to be left out cannot be told from the others, none is learned.
            let isSure = !skipped.contains { $0 == nil }
            learned = whole.generated.filter { range in
                isSure && !range.isEmpty && !skipped.contains { $0?.overlaps(range) ?? false }
            }
            if learned.isEmpty { notes.lostAnswers = answers.count }
        } else {
            let found = answers.map { turns.answer($0) }
            learned = found.compactMap(\.self)
            notes.lostAnswers = found.count { $0 == nil }
        }
        return LearnedChat(
            text: whole.text, learned: learned, skipped: skipped.compactMap(\.self), notes: notes)
    }
}

/// Finds the assistant's turns in the text of a chat.
package struct ChatTurns {
    private let renderer: ChatRenderer
    private let chat: Chat
    private let whole: TemplateTrace
    private let bytes: [UInt8]
    /// What the template writes behind the chat so far for the model to go on, by what that ends with.
    private var prompts: [String: [UInt8]] = [:]
    private var tails: [String: ArraySlice<UInt8>] = [:]

    package init(_ renderer: ChatRenderer, _ chat: Chat, _ whole: TemplateTrace) {
        (self.renderer, self.chat, self.whole) = (renderer, chat, whole)
        bytes = Array(whole.text.utf8)
    }

    /// nil where it cannot be found.
    mutating func answer(_ index: Int) -> Range<Int>? { tracedAnswer(index) ?? answerByPrefixes(index) }

    /// By what the template's loop wrote for the message: one rendering finds all answers.
    package mutating func tracedAnswer(_ index: Int) -> Range<Int>? {
        guard let turn = whole.messages[index] else { return nil }
        var end = turn.upperBound
        if index + 1 < chat.messages.count, whole.messages[index + 1] == nil {
            // The next message may stand inside of this turn, as a tool's answer behind its call.
            guard let (own, _) = turnAlone(index) else { return nil }
            end = turn.lowerBound + Self.sharedCount(bytes[turn], own)
        }
        let prompt = prompt(before: index)
        let tail = tail(of: index)
        if bytes[end...].starts(with: tail), !tail.elementsEqual(prompt) { end += tail.count }
        let start = turn.lowerBound + promptCount(bytes[turn.lowerBound..<end], prompt)
        return start < end ? start..<end : nil
    }

    /// How much of a turn is the prompt. A line end between turns may stand in the turn before, and behind
    /// some messages the prompt also ends the turn before.
    private mutating func promptCount(_ turn: ArraySlice<UInt8>, _ prompt: [UInt8]) -> Int {
        let count = Self.promptCount(turn, prompt[...])
        if count == prompt.count { return count }
        let others = [prompt, self.prompt(before: 0)].flatMap { prompt in
            [prompt[...], prompt.drop { $0 == 0x20 || $0 == 0x0A }]
        }
        return others.map { Self.promptCount(turn, $0) }.max() ?? count
    }

    /// A turn as the last of the chat, and what the template writes behind it.
    private func turnAlone(_ index: Int) -> (turn: ArraySlice<UInt8>, tail: ArraySlice<UInt8>)? {
        guard let alone = try? renderer.trace(chat.prefix(index + 1), addGenerationPrompt: false),
            let own = alone.messages[index]
        else { return nil }
        let bytes = Array(alone.text.utf8)
        return (bytes[own], bytes[own.upperBound...])
    }

    /// What some templates write behind the last message or in front of the next: the token that ends a turn.
    private mutating func tail(of index: Int) -> ArraySlice<UInt8> {
        if index + 1 == chat.messages.count, let turn = whole.messages[index] {
            return bytes[turn.upperBound...]
        }
        let key = chat.messages[index]["tool_calls"] == nil ? "" : "calls"
        if let tail = tails[key] { return tail }
        let tail = turnAlone(index)?.tail ?? []
        tails[key] = tail
        return tail
    }

    /// By what the chat with the answer has beyond the chat before it with a generation prompt: two
    /// renderings an answer.
    package func answerByPrefixes(_ index: Int) -> Range<Int>? {
        guard let before = try? renderer.render(chat.prefix(index), addGenerationPrompt: true),
            let after = try? renderer.render(chat.prefix(index + 1), addGenerationPrompt: false),
            bytes.starts(with: after.utf8)
        else { return nil }
        let end = after.utf8.count
        let start = Self.promptCount(bytes[..<end], Array(before.utf8)[...])
        return start < end ? start..<end : nil
    }

    /// It depends on the message before, at most: on its role, and whether it calls tools.
    private mutating func prompt(before index: Int) -> [UInt8] {
        var key = ""
        if index > 0, case .string(let role)? = chat.messages[index - 1]["role"] {
            key = role + (chat.messages[index - 1]["tool_calls"] == nil ? "" : " with calls")
        }
        if let prompt = prompts[key] { return prompt }
        let someone = Chat([(role: "user", content: "?")])
        let prompt =
            (index > 0 ? prompt(of: chat.prefix(index)) : nil)
            ?? prompt(of: Chat(someone.messages, variables: chat.variables)) ?? []
        prompts[key] = prompt
        return prompt
    }

    private func prompt(of chat: Chat) -> [UInt8]? {
        guard let plain = try? renderer.trace(chat, addGenerationPrompt: false),
            let prompted = try? renderer.render(chat, addGenerationPrompt: true)
        else { return nil }
        let (before, after) = (Array(plain.text.utf8), Array(prompted.utf8))
        let end = plain.end ?? before.count
        return Array(after[Self.promptCount(after[...], before[..<end])...])
    }

    /// How much of a turn is a prompt. Where they part inside of the prompt, only whole lines and tags count.
    private static func promptCount(_ turn: ArraySlice<UInt8>, _ prompt: ArraySlice<UInt8>) -> Int {
        let count = sharedCount(turn, prompt)
        guard count < prompt.count else { return count }
        let ends = ">]\n".utf8
        let last = turn.prefix(count).lastIndex { ends.contains($0) }
        return last.map { $0 + 1 - turn.startIndex } ?? 0
    }

    /// How many bytes two texts begin with alike, whole scalars only.
    private static func sharedCount(_ a: ArraySlice<UInt8>, _ b: ArraySlice<UInt8>) -> Int {
        var count = zip(a, b).prefix { $0 == $1 }.count
        while count > 0, count < a.count, a[a.startIndex + count] & 0xC0 == 0x80 { count -= 1 }
        return count
    }
}
