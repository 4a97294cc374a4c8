// A conversation as tokens with labels. The text is the whole chat as the model's template writes it, special
// tokens included; `LearnedChat` says which parts of it are learned.

import Checkpoints
import Tokenizer

extension ExampleReader {
    func chatExample(_ chat: Chat, _ fields: JSONFields, _ notes: inout DataNotes) throws -> Example {
        guard let chatRenderer else {
            throw FileError(
                fields.path, "has a chat, but the model has no chat template",
                remedy:
                    "give it one by --chat-template, use 'prompt' and 'completion', or a model made for chat")
        }
        guard chat.messages.indices.contains(where: chat.isAssistant) else {
            throw FileError(fields.path, "has no message of the assistant, so there is nothing to learn")
        }
        let learned: LearnedChat
        do {
            learned = try chatRenderer.learned(chat)
        } catch {
            throw FileError(fields.path, "\(error)")
        }
        notes.chat += learned.notes
        return try example(learned, &notes)
    }

    private func example(_ chat: LearnedChat, _ notes: inout DataNotes) throws -> Example {
        let pieces =
            format.learnsPrompts
            ? chat.pieces(chat.skipped, areTargets: false)
            : chat.pieces(chat.learned, areTargets: true)
        let tokens = try tokenizer.encode(pieces: pieces.map(\.text), addSpecialTokens: false)
        let findsEnds = !format.learnsPrompts
        let stops = tokenizer.specialIDs.stops.union([tokenizer.specialIDs.eos].compactMap(\.self))
        var example = Example(tokens: [])
        for (index, (piece, tokens)) in zip(pieces, tokens).enumerated() {
            // Where a turn has no end of its own, the token that begins the next one stops the model.
            let isOpen = findsEnds && index > 0 && pieces[index - 1].isTarget && !example.endsTurn(stops)
            if isOpen, let end = tokens.first, stops.contains(end) {
                example.append([end], isTarget: true)
                example.append(Array(tokens.dropFirst()), isTarget: piece.isTarget)
            } else {
                notes.openAnswers += isOpen ? 1 : 0
                example.append(tokens, isTarget: piece.isTarget)
            }
        }
        if findsEnds, pieces.last?.isTarget ?? false, !example.endsTurn(stops) { notes.openAnswers += 1 }
        return example
    }
}

extension Example {
    /// The last tokens are a stop token and, at most, a line end: what the template writes behind it.
    fileprivate func endsTurn(_ stops: Set<Int32>) -> Bool {
        tokens.suffix(2).contains(where: stops.contains)
    }
}

extension LearnedChat {
    /// The text in pieces: these parts, and what lies between them.
    fileprivate func pieces(_ parts: [Range<Int>], areTargets: Bool) -> [TextPiece] {
        let bytes = Array(text.utf8)
        var pieces: [TextPiece] = []
        func add(_ range: Range<Int>, _ isTarget: Bool) {
            guard !range.isEmpty else { return }
            pieces.append(TextPiece(text: String(decoding: bytes[range], as: UTF8.self), isTarget: isTarget))
        }
        var done = 0
        for part in parts {
            add(done..<part.lowerBound, !areTargets)
            add(part, areTargets)
            done = part.upperBound
        }
        add(done..<bytes.count, !areTargets)
        return pieces
    }
}
