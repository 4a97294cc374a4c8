// A conversation as data files and programs give it: messages of any keys, and what else a template is given.

import Checkpoints

package struct Chat: Sendable {
    /// Each has a `role`; all keys reach the template as they are.
    package var messages: [JSON.Object]
    /// Variables beside `messages`: `tools`, `documents`, and options of the template such as
    /// `enable_thinking`.
    package var variables: JSON.Object

    package init(_ messages: [JSON.Object], variables: JSON.Object = [:]) {
        (self.messages, self.variables) = (messages, variables)
    }

    /// Messages of text.
    package init(_ messages: [(role: String, content: String)]) {
        self.init(messages.map { ["role": .string($0.role), "content": .string($0.content)] })
    }

    /// The first messages, or those up to one and with it.
    package func prefix(_ count: Int) -> Chat { Chat(Array(messages.prefix(count)), variables: variables) }

    package func isAssistant(_ index: Int) -> Bool { messages[index]["role"] == .string("assistant") }

    /// Whether a message is to be learned: `"weight": 0` and `"train": false` leave it out.
    func isLearned(_ index: Int) -> Bool {
        guard isAssistant(index) else { return false }
        let weight = messages[index]["weight"]
        return weight != .integer(0) && weight != .double(0) && messages[index]["train"] != .bool(false)
    }
}

// MARK: Forms

extension Chat {
    /// What a template can be given, in the order in which to try.
    enum Form: CaseIterable {
        case asWritten
        /// For templates that know only texts: parts joined, and null empty.
        case texts
        /// For templates that paste the arguments of a call: as JSON text.
        case pastedArguments
    }

    func inForm(_ form: Form) -> Chat {
        if form == .asWritten { return self }
        return changed { message in
            switch message["content"] {
            case .array(let parts)?: message["content"] = .string(Chat.text(parts))
            case .null?: message["content"] = .string("")
            default: break
            }
            if form == .texts { return }
            Chat.changeArguments(of: &message) { arguments in
                if case .string = arguments { arguments } else { .string(TemplateValue(arguments).json) }
            }
        }
    }

    private func changed(_ change: (inout JSON.Object) -> Void) -> Chat {
        var chat = self
        for index in messages.indices { change(&chat.messages[index]) }
        return chat
    }

    private static func text(_ parts: [JSON]) -> String {
        parts.compactMap { part in
            if case .object(let part) = part, case .string(let text)? = part["text"] { text } else { nil }
        }.joined(separator: "\n")
    }

    /// Changes `arguments` of each of a message's `tool_calls`, inside of `function` or beside the name.
    static func changeArguments(of message: inout JSON.Object, _ change: (JSON) -> JSON) {
        guard case .array(let calls)? = message["tool_calls"] else { return }
        message["tool_calls"] = .array(
            calls.map { call in
                guard case .object(var call) = call else { return call }
                if case .object(var function)? = call["function"] {
                    function["arguments"] = function["arguments"].map(change)
                    call["function"] = .object(function)
                } else {
                    call["arguments"] = call["arguments"].map(change)
                }
                return .object(call)
            })
    }

    /// Whether a text looks like this form of the chat: not as Python prints a list of parts, or None.
    func isPlain(in text: String) -> Bool {
        let contents = messages.map { $0["content"] }
        if contents.contains(where: { if case .array? = $0 { true } else { false } }),
            TemplateText.find("'type': 'text'", in: text) != nil
        {
            return false
        }
        guard contents.contains(.null) else { return true }
        let said =
            JSON.object(variables).text(JSON.Style(indent: nil, escapesNonASCII: false))
            + messages.map { JSON.object($0).text(JSON.Style(indent: nil, escapesNonASCII: false)) }.joined()
        return Chat.count("None", in: text) <= Chat.count("None", in: said)
    }

    private static func count(_ part: String, in text: String) -> Int {
        TemplateText.split(text, part, limit: -1).count - 1
    }
}

// MARK: Lines of data

extension Chat {
    /// The `messages` of a line of data (or ShareGPT's `conversations`), its `tools` and `documents`, and its
    /// `chat_template_kwargs`.
    package init(_ line: JSONFields) throws(FileError) {
        var messages: [JSON.Object] = []
        let isShareGPT = line["messages"] == nil
        for message in try line.array(isShareGPT ? "conversations" : "messages") {
            var fields = try JSONFields(message, path: line.path)
            if isShareGPT, fields["role"] == nil { fields = try Chat.shareGPT(fields) }
            messages.append(try Chat.message(fields))
        }
        var variables: JSON.Object = [:]
        for key in ["tools", "documents"] {
            // A table of text columns holds them as JSON.
            if case .string(let text)? = line[key] {
                variables[key] = try JSON.parse(Array(text.utf8), path: line.path)
            } else if let values = try line.optionalArray(key) {
                variables[key] = .array(values)
            }
        }
        for member in try line.optionalFields("chat_template_kwargs")?.object.members ?? [] {
            variables[member.key] = member.value
        }
        self.init(messages, variables: variables)
    }

    /// `{"from": "human", "value": …}` as a message.
    private static func shareGPT(_ turn: JSONFields) throws(FileError) -> JSONFields {
        let roles = [
            "human": "user", "user": "user", "gpt": "assistant", "chatgpt": "assistant",
            "assistant": "assistant", "model": "assistant", "system": "system", "tool": "tool",
            "observation": "tool",
        ]
        guard let role = roles[try turn.string("from")] else {
            throw turn.wrong("from", expected: "human, gpt, system or tool")
        }
        var message = turn.object
        (message["from"], message["value"]) = (nil, nil)
        (message["role"], message["content"]) = (.string(role), .string(try turn.string("value")))
        return JSONFields(message, path: turn.path)
    }

    private static func message(_ fields: JSONFields) throws(FileError) -> JSON.Object {
        _ = try fields.string("role")
        let calls = try fields.optionalArray("tool_calls") ?? []
        switch fields["content"] {
        case nil where !calls.isEmpty: break
        case .array(let parts)?:
            for part in parts {
                let part = try JSONFields(part, path: fields.path)
                guard try part.string("type") == "text" else {
                    throw part.wrong("type", expected: "\"text\"", remedy: "only text is learned")
                }
                _ = try part.string("text")
            }
        default: _ = try fields.string("content")
        }
        for key in ["weight", "train"] {
            switch (key, fields[key]) {
            case (_, nil), ("weight", .integer(0)?), ("weight", .integer(1)?), ("weight", .double(0)?),
                ("weight", .double(1)?), ("train", .bool?):
                break
            case ("weight", _): throw fields.wrong(key, expected: "0 or 1")
            default: throw fields.wrong(key, expected: "true or false")
            }
        }
        var message = fields.object
        // Interfaces write a call's arguments as JSON text, templates read them.
        changeArguments(of: &message) { arguments in
            guard case .string(let text) = arguments,
                let value = try? JSON.parse(Array(text.utf8), path: fields.path),
                case .object = value
            else { return arguments }
            return value
        }
        return message
    }
}
