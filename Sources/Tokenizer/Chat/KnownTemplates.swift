// Chat templates by name, for models that come without one. Each writes a turn and what ends it; a system message goes where
// the family has it, before the first question where it has none.

import Checkpoints

package struct KnownTemplate: Sendable {
    package let name: String
    package let source: String
    /// What ends the model's turn; nil: the token that ends a text.
    package let end: String?

    package static let all: [KnownTemplate] = [
        KnownTemplate(
            name: "chatml", each: "'<|im_start|>' + role + '\n' + text + '<|im_end|>\n'",
            prompt: "<|im_start|>assistant\n",
            end: "<|im_end|>"),
        KnownTemplate(
            name: "llama3", first: "bos_token",
            each: "'<|start_header_id|>' + role + '<|end_header_id|>\n\n' + text + '<|eot_id|>'",
            prompt: "<|start_header_id|>assistant<|end_header_id|>\n\n", end: "<|eot_id|>"),
        KnownTemplate(
            name: "gemma", first: "bos_token", joinsSystem: true,
            each:
                "'<start_of_turn>' + ('model' if role == 'assistant' else role) + '\n' + text + '<end_of_turn>\n'",
            prompt: "<start_of_turn>model\n", end: "<end_of_turn>"),
        KnownTemplate(
            name: "phi3", each: "'<|' + role + '|>\n' + text + '<|end|>\n'", prompt: "<|assistant|>\n",
            end: "<|end|>"),
        KnownTemplate(
            name: "zephyr", each: "'<|' + role + '|>\n' + text + eos_token + '\n'", prompt: "<|assistant|>\n",
            end: nil),
        KnownTemplate(
            name: "mistral", first: "bos_token", joinsSystem: true,
            each: "(' ' + text + eos_token) if role == 'assistant' else ('[INST] ' + text + ' [/INST]')",
            prompt: "",
            end: nil),
        KnownTemplate(
            name: "alpaca",
            each: "('### Response:\n' + text + eos_token + '\n') if role == 'assistant' else "
                + "('### Instruction:\n' + text + '\n\n' if role == 'user' else text + '\n\n')",
            prompt: "### Response:\n", end: nil),
        KnownTemplate(
            name: "vicuna", first: "bos_token",
            each: "('ASSISTANT: ' + text + eos_token + '\n') if role == 'assistant' else "
                + "('USER: ' + text + '\n' if role == 'user' else text + '\n\n')",
            prompt: "ASSISTANT:", end: nil),
    ]

    package static func named(_ name: String) -> KnownTemplate? { all.first { $0.name == name } }

    private init(
        name: String, first: String? = nil, joinsSystem: Bool = false, each: String, prompt: String,
        end: String?
    ) {
        func literal(_ text: String) -> String { text.replacing("\n", with: "\\n") }
        let system =
            joinsSystem
            ? "{% set ns = namespace(said='') %}" : ""
        let text = "{% set role = message['role'] %}{% set text = message['content'] %}"
        let body = "{{ \(literal(each)) }}"
        let turn =
            joinsSystem
            ? "{% if message['role'] == 'system' %}{% set ns.said = message['content'] + '\\n\\n' %}{% else %}"
                + "{% set role = message['role'] %}{% set text = (ns.said if role == 'user' else '') + message['content'] %}"
                + "{% if role == 'user' %}{% set ns.said = '' %}{% endif %}\(body){% endif %}"
            : text + body
        source =
            (first.map { "{{ \($0) }}" } ?? "") + system + "{% for message in messages %}\(turn){% endfor %}"
            + (prompt.isEmpty ? "" : "{% if add_generation_prompt %}{{ '\(literal(prompt))' }}{% endif %}")
        (self.name, self.end) = (name, end)
    }
}

extension Tokenizer {
    /// The same with the template of a file, or a known one by its name.
    package func with(templateNamed name: String) throws(FileError) -> Tokenizer {
        if FileSystem.isFile(name) {
            let bytes = try FileSystem.contents(of: name, limit: ChatTemplate.maximumBytes)
            guard let source = String(validating: bytes, as: UTF8.self) else {
                throw FileError(name, "is not UTF-8 text")
            }
            do throws(FileError) { _ = try ChatTemplate(source) } catch {
                throw FileError(name, "is no chat template: \(error)")
            }
            return with(chatTemplate: source, stop: nil, warnings: [])
        }
        guard let known = KnownTemplate.named(name) else {
            throw FileError(
                name, "is neither a file nor the name of a chat template",
                remedy: "the names are \(KnownTemplate.all.map(\.name).joined(separator: ", "))")
        }
        let stop = known.end.flatMap(id)
        let lost = known.end.flatMap { stop == nil ? $0 : nil }.map {
            "the chat template \(known.name) ends turns with '\($0)', which is no token of the model, so that it does not learn "
                + "to stop; \(KnownTemplate.all.filter { $0.end == nil }.map(\.name).joined(separator: ", ")) end them with the "
                + "model's own end of a text"
        }
        return with(chatTemplate: known.source, stop: stop, warnings: [lost].compactMap(\.self))
    }

    private func with(chatTemplate: String, stop: Int32?, warnings: [String]) -> Tokenizer {
        var parts = parts
        parts.chatTemplate = chatTemplate
        if let stop { parts.specialIDs.stops.insert(stop) }
        parts.warnings += warnings
        return Tokenizer(parts)
    }
}
