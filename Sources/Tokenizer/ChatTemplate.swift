// A chat as the text that a model was trained on, by the Jinja template that comes with the model. The interpreter is
// a safe subset: no attribute reaches anything but the values given, and work, output and nesting are capped.

import Checkpoints

package struct ChatMessage: Sendable, Equatable {
    package var role: String
    package var content: String

    package init(role: String, content: String) {
        self.role = role
        self.content = content
    }
}

package struct ChatTemplate: Sendable {
    /// Longer templates are refused.
    private static let maximumBytes = 1 << 20

    private let body: [TemplateStatement]

    package init(_ source: String) throws(FileError) {
        guard source.utf8.count <= ChatTemplate.maximumBytes else {
            throw FileError(
                "chat template", "has \(source.utf8.count) bytes, the limit is \(ChatTemplate.maximumBytes)")
        }
        body = try TemplateParser.parse(source)
    }

    package func render(
        messages: [ChatMessage], addGenerationPrompt: Bool, bosToken: String, eosToken: String
    ) throws(FileError) -> String {
        let variables = ChatTemplate.variables(messages, addGenerationPrompt, bosToken, eosToken)
        return try render(variables)
    }

    /// With any variables; `now` is the date for templates that ask for it.
    package func render(_ variables: JSON.Object, now: TemplateDate = .now()) throws(FileError) -> String {
        try evaluate(variables, now).text
    }

    /// A chat and where in it the model speaks.
    package struct MarkedChat: Sendable, Equatable {
        package var text: String
        /// Of each assistant message, what the model writes: a range of the text's UTF-8 bytes, up to and with what
        /// ends a turn.
        package var replies: [Range<Int>]
    }

    /// The chat to train on. Replies are what the template marks by `{% generation %}`, else what an assistant message
    /// adds to the chat before it with the generation prompt.
    package func renderMarkingReplies(
        messages: [ChatMessage], bosToken: String, eosToken: String
    ) throws(FileError) -> MarkedChat {
        func variables(_ count: Int, _ addGenerationPrompt: Bool) -> JSON.Object {
            ChatTemplate.variables(Array(messages.prefix(count)), addGenerationPrompt, bosToken, eosToken)
        }
        let now = TemplateDate.now()
        let whole = try evaluate(variables(messages.count, false), now)
        var chat = MarkedChat(text: whole.text, replies: whole.generated)
        guard chat.replies.isEmpty else { return chat }
        for (index, message) in messages.enumerated() where message.role == "assistant" {
            let before = try render(variables(index, true), now: now).utf8
            let after = try render(variables(index + 1, false), now: now).utf8
            guard before.count <= after.count, after.starts(with: before), chat.text.utf8.starts(with: after)
            else {
                throw FileError(
                    "chat template", "writes message \(index + 1) otherwise when more messages follow",
                    remedy: "train on the last reply only, as prompt and completion")
            }
            chat.replies.append(before.count..<after.count)
        }
        return chat
    }

    private func evaluate(
        _ variables: JSON.Object, _ now: TemplateDate
    ) throws(FileError) -> (text: String, generated: [Range<Int>]) {
        var values: [String: TemplateValue] = [:]
        for member in variables.members { values[member.key] = TemplateValue(member.value) }
        var evaluator = TemplateEvaluator(variables: values, limits: TemplateLimits(), now: now)
        let text = try evaluator.render(body)
        return (text, evaluator.generated)
    }

    private static func variables(
        _ messages: [ChatMessage], _ addGenerationPrompt: Bool, _ bosToken: String, _ eosToken: String
    ) -> JSON.Object {
        let messages = messages.map {
            JSON.object(["role": .string($0.role), "content": .string($0.content)])
        }
        return [
            "messages": .array(messages), "add_generation_prompt": .bool(addGenerationPrompt),
            "bos_token": .string(bosToken), "eos_token": .string(eosToken), "tools": .null,
            "documents": .null,
        ]
    }
}
