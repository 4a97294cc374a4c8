// Chats as a model reads them: its template, its special tokens, and one date for all.

import Checkpoints

package struct ChatRenderer: Sendable {
    package let template: ChatTemplate
    /// For templates that write the date: one moment for a whole run.
    package let date: TemplateDate
    private let specialTokens: JSON.Object

    /// nil for a tokenizer without a template.
    package init?(_ tokenizer: Tokenizer, date: TemplateDate = .now()) throws(FileError) {
        guard let source = tokenizer.chatTemplate else { return nil }
        let ids = tokenizer.specialIDs
        func text(_ id: Int32?) -> JSON? { id.flatMap(tokenizer.token).map { .string($0) } }
        var tokens: JSON.Object = [
            "bos_token": text(ids.bos) ?? .string(""), "eos_token": text(ids.eos) ?? .string(""),
        ]
        tokens["pad_token"] = text(ids.pad)
        tokens["unk_token"] = text(ids.unknown)
        self.init(template: try ChatTemplate(source), specialTokens: tokens, date: date)
    }

    package init(template: ChatTemplate, specialTokens: JSON.Object, date: TemplateDate) {
        (self.template, self.specialTokens, self.date) = (template, specialTokens, date)
    }

    package func render(_ chat: Chat, addGenerationPrompt: Bool) throws(FileError) -> String {
        try trace(chat, addGenerationPrompt: addGenerationPrompt).text
    }

    package func trace(_ chat: Chat, addGenerationPrompt: Bool) throws(FileError) -> TemplateTrace {
        var variables = specialTokens
        variables["tools"] = .null
        variables["documents"] = .null
        for member in chat.variables.members { variables[member.key] = member.value }
        variables["messages"] = .array(chat.messages.map { .object($0) })
        variables["add_generation_prompt"] = .bool(addGenerationPrompt)
        return try template.trace(variables, now: date)
    }

    /// The whole chat and where its answer begins, in the first form that the template knows how to write.
    package func prompt(_ chat: Chat) throws(FileError) -> String {
        try whole(chat, addGenerationPrompt: true).trace.text
    }

    /// The whole chat, in the first form that the template knows how to write.
    package func whole(
        _ chat: Chat, addGenerationPrompt: Bool = false
    ) throws(FileError) -> (chat: Chat, trace: TemplateTrace) {
        var reason: FileError?
        var odd: (Chat, TemplateTrace)?
        for form in Chat.Form.allCases {
            do throws(FileError) {
                let form = chat.inForm(form)
                let trace = try trace(form, addGenerationPrompt: addGenerationPrompt)
                if form.isPlain(in: trace.text) { return (form, trace) }
                odd = odd ?? (form, trace)
            } catch {
                reason = reason ?? error
            }
        }
        if let odd { return odd }
        throw reason!
    }
}
