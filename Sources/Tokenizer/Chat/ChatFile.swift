// Chats in files of JSON: a list of messages, or an object with `messages` as a line of data has it; several as a list of these, or
// in a .jsonl file one a line.

import Checkpoints

extension Chat {
    /// A list of messages, or an object that has one.
    package init(_ json: JSON, path: String) throws(FileError) {
        if case .array = json {
            try self.init(JSONFields(["messages": json], path: path))
        } else {
            try self.init(JSONFields(json, path: path))
        }
        guard !messages.isEmpty else { throw FileError(path, "holds a chat without messages") }
    }

    /// Chats that wait for an answer.
    package static func questions(in path: String) throws(FileError) -> [Chat] {
        let chats = try read(path)
        for chat in chats where chat.isAssistant(chat.messages.count - 1) {
            throw FileError(
                path, "has a chat whose last message is the assistant's",
                remedy: "leave that message out: it is what is generated")
        }
        return chats
    }

    package static func read(_ path: String) throws(FileError) -> [Chat] {
        let bytes = try FileSystem.contents(of: path)
        var chats: [Chat] = []
        if path.hasSuffix(".jsonl") {
            for (index, line) in bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
                .enumerated()
            where line.contains(where: { $0 > UInt8(ascii: " ") }) {
                let place = "\(path):\(index + 1)"
                chats.append(try Chat(JSON.parse(Array(line), path: place), path: place))
            }
        } else {
            let json = try JSON.parse(bytes, path: path)
            var all = [json]
            if case .array(let items) = json, let first = items.first, !first.isMessage { all = items }
            for chat in all { chats.append(try Chat(chat, path: path)) }
        }
        guard !chats.isEmpty else { throw FileError(path, "holds no chats") }
        return chats
    }

    /// A list of messages, as `read` reads it; an object where there is more than messages.
    package var json: JSON {
        let list = JSON.array(messages.map { .object($0) })
        if variables.count == 0 { return list }
        var object: JSON.Object = ["messages": list]
        for member in variables.members where ["tools", "documents"].contains(member.key) {
            object[member.key] = member.value
        }
        var others: JSON.Object = [:]
        for member in variables.members where object[member.key] == nil { others[member.key] = member.value }
        if others.count > 0 { object["chat_template_kwargs"] = .object(others) }
        return .object(object)
    }

    package func write(to path: String) throws(FileError) {
        try AtomicFile.write(json.text(JSON.Style(indent: 2, escapesNonASCII: false)) + "\n", to: path)
    }
}

extension JSON {
    fileprivate var isMessage: Bool {
        if case .object(let object) = self { object["role"] != nil } else { false }
    }
}
