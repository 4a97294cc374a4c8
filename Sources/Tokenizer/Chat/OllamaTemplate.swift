// A chat template as Ollama's Modelfile has it (Go's text/template, one question and answer at a time), for templates that are known.
// Whether a model's own template is one of them is found by what it writes, never by its text.

import Checkpoints

package struct OllamaTemplate: Sendable, Equatable {
    package let source: String
    /// What the template says where a chat has no system message.
    package let system: String?

    /// By the names of `KnownTemplate`.
    private static let sources = [
        "chatml": """
        {{ if .System }}<|im_start|>system
        {{ .System }}<|im_end|>
        {{ end }}{{ if .Prompt }}<|im_start|>user
        {{ .Prompt }}<|im_end|>
        {{ end }}<|im_start|>assistant
        {{ .Response }}<|im_end|>

        """,
        "llama3": """
        {{ if .System }}<|start_header_id|>system<|end_header_id|>

        {{ .System }}<|eot_id|>{{ end }}{{ if .Prompt }}<|start_header_id|>user<|end_header_id|>

        {{ .Prompt }}<|eot_id|>{{ end }}<|start_header_id|>assistant<|end_header_id|>

        {{ .Response }}<|eot_id|>
        """,
        "gemma": """
        <start_of_turn>user
        {{ if .System }}{{ .System }}

        {{ end }}{{ .Prompt }}<end_of_turn>
        <start_of_turn>model
        {{ .Response }}<end_of_turn>

        """,
        "phi3": """
        {{ if .System }}<|system|>
        {{ .System }}<|end|>
        {{ end }}{{ if .Prompt }}<|user|>
        {{ .Prompt }}<|end|>
        {{ end }}<|assistant|>
        {{ .Response }}<|end|>

        """,
    ]

    /// nil where the model's template is none of those that are known, or there is none.
    package init?(_ tokenizer: Tokenizer) throws(FileError) {
        guard let own = try ChatRenderer(tokenizer) else { return nil }
        for known in KnownTemplate.all {
            guard let source = Self.sources[known.name],
                let other = try ChatRenderer(tokenizer.with(templateNamed: known.name))
            else { continue }
            let system = Self.defaultSystem(own, other)
            guard Self.agree(own, other, system) else { continue }
            (self.source, self.system) = (source, system)
            return
        }
        return nil
    }

    private static func turn(_ role: String, _ text: String) -> JSON.Object {
        ["role": .string(role), "content": .string(text)]
    }

    private static func text(_ renderer: ChatRenderer, _ messages: [JSON.Object]) -> String? {
        try? renderer.render(
            Chat(messages), addGenerationPrompt: messages.last?["role"] == .string("user"))
    }

    /// What stands in the own template's text where a system message of the other's would.
    private static func defaultSystem(_ own: ChatRenderer, _ other: ChatRenderer) -> String? {
        let mark = "SYSTEM MARK"
        guard let said = text(own, [turn("user", "Hi")]),
            let around = text(other, [turn("system", mark), turn("user", "Hi")])?.components(around: mark),
            said.hasPrefix(around.before), said.hasSuffix(around.after),
            said.count > around.before.count + around.after.count
        else { return nil }
        return String(said.dropFirst(around.before.count).dropLast(around.after.count))
    }

    /// Chats with and without a system message, of one turn and several, that learn and that ask.
    private static func agree(_ own: ChatRenderer, _ other: ChatRenderer, _ system: String?) -> Bool {
        let first = [turn("user", "Where is it?"), turn("assistant", "Here, it's at 12.")]
        let more = first + [turn("user", "Who says\nso?")]
        for chat in [[first[0]], more, more + [turn("assistant", "I do.")]] {
            let named = [turn("system", "Be brief.")] + chat
            guard let a = text(own, named), a == text(other, named) else { return false }
            let told = (system.map { [turn("system", $0)] } ?? []) + chat
            guard let a = text(own, chat), a == text(other, told) else { return false }
        }
        return true
    }
}

extension String {
    fileprivate func components(around mark: String) -> (before: String, after: String)? {
        let parts = split(separator: mark, omittingEmptySubsequences: false)
        return parts.count == 2 ? (String(parts[0]), String(parts[1])) : nil
    }
}
