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
        let messages = messages.map {
            JSON.object(["role": .string($0.role), "content": .string($0.content)])
        }
        return try render([
            "messages": .array(messages), "add_generation_prompt": .bool(addGenerationPrompt),
            "bos_token": .string(bosToken), "eos_token": .string(eosToken), "tools": .null,
            "documents": .null,
        ])
    }

    /// With any variables; `now` is the date for templates that ask for it.
    package func render(_ variables: JSON.Object, now: TemplateDate = .now()) throws(FileError) -> String {
        var values: [String: TemplateValue] = [:]
        for member in variables.members { values[member.key] = TemplateValue(member.value) }
        var evaluator = TemplateEvaluator(variables: values, limits: TemplateLimits(), now: now)
        return try evaluator.render(body)
    }
}
