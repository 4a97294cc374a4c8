// Keys that templates often ignore: whether their values are found in the text.

import Checkpoints

extension ChatRenderer {
    /// For each key how often its value is missing: of `tools` and `tool_calls` the names are looked for.
    func unusedKeys(_ chat: Chat, _ whole: TemplateTrace) -> [String: Int] {
        let bytes = Array(whole.text.utf8)
        var missing: [String: Int] = [:]
        func look(_ key: String, for texts: [String], in range: Range<Int>) {
            let isThere = texts.allSatisfy { ByteSearch(Array($0.utf8)).first(in: bytes[range]) != nil }
            if !isThere { missing[key, default: 0] += 1 }
        }
        if case .array(let tools)? = chat.variables["tools"] {
            look("tools", for: tools.compactMap(Self.name), in: bytes.indices)
        }
        for (index, message) in chat.messages.enumerated() where chat.isAssistant(index) {
            let range = whole.messages[index] ?? bytes.indices
            if case .array(let calls)? = message["tool_calls"] {
                look("tool_calls", for: calls.compactMap(Self.name), in: range)
            }
            for key in ["reasoning_content", "reasoning", "thinking"] {
                if case .string(let text)? = message[key] {
                    look(key, for: [TemplateText.strip(text)], in: range)
                }
            }
            if case .string(let text)? = message["content"] {
                // Templates take thinking that is part of the text apart.
                let answer = TemplateText.split(text, "</think>", limit: -1).last ?? text
                look("content", for: [TemplateText.strip(answer)], in: range)
            }
        }
        return missing
    }

    private static func name(_ tool: JSON) -> String? {
        guard case .object(let tool) = tool else { return nil }
        if case .object(let function)? = tool["function"] { return name(.object(function)) }
        if case .string(let name)? = tool["name"] { return name }
        return nil
    }
}
