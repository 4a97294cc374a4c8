// Tokenizers of loravk.h.

import CLoRAVK
import Checkpoints
import Tokenizer

final class TokenizerObject: HandleObject {
    static let kind = "a tokenizer"
    let tokenizer: Tokenizer

    init(_ tokenizer: Tokenizer) { self.tokenizer = tokenizer }
}

private func tokenizerOf(_ handle: OpaquePointer?) throws -> Tokenizer {
    try Handles.object(handle, TokenizerObject.self, "tokenizer").tokenizer
}

@c @implementation public func loravk_tokenizer_load(
    _ path: UnsafePointer<CChar>!, _ tokenizer: UnsafeMutablePointer<OpaquePointer?>!
) -> loravk_status {
    call {
        let output = try Output(tokenizer, "tokenizer")
        let checkpoint = try Checkpoint.open(path: try text(path, "path"))
        let tokenizer = try Tokenizer.load(for: checkpoint)
        tokenizer.warnings.forEach(Logs.warn)
        output.give(TokenizerObject(tokenizer))
    }
}

@c @implementation public func loravk_tokenizer_release(_ tokenizer: OpaquePointer!) {
    Handles.release(tokenizer, TokenizerObject.self)
}

@c @implementation public func loravk_tokenizer_vocab_size(
    _ handle: OpaquePointer!, _ size: UnsafeMutablePointer<Int32>!
) -> loravk_status {
    call { try required(size, "size").pointee = Int32(clamping: try tokenizerOf(handle).vocabularySize) }
}

@c @implementation public func loravk_tokenizer_special_ids(
    _ handle: OpaquePointer!, _ bos: UnsafeMutablePointer<Int32>!, _ eos: UnsafeMutablePointer<Int32>!,
    _ pad: UnsafeMutablePointer<Int32>!
) -> loravk_status {
    call {
        let ids = try tokenizerOf(handle).specialIDs
        bos?.pointee = ids.bos ?? -1
        eos?.pointee = ids.eos ?? -1
        pad?.pointee = ids.pad ?? -1
    }
}

@c @implementation public func loravk_tokenizer_encode(
    _ handle: OpaquePointer!, _ text: UnsafePointer<CChar>!, _ length: Int, _ addSpecial: Bool,
    _ tokens: UnsafeMutablePointer<Int32>!, _ capacity: Int, _ count: UnsafeMutablePointer<Int>!
) -> loravk_status {
    call {
        let tokenizer = try tokenizerOf(handle)
        let count = try required(count, "count")
        let bytes = try array(text, length, "text").map { UInt8(bitPattern: $0) }
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw APIError.argument("text is not UTF-8")
        }
        let ids = tokenizer.encode(text, addSpecialTokens: addSpecial)
        try give(ids, to: tokens, capacity, "tokens")
        count.pointee = ids.count
    }
}

@c @implementation public func loravk_tokenizer_decode(
    _ handle: OpaquePointer!, _ tokens: UnsafePointer<Int32>!, _ count: Int, _ skipSpecial: Bool,
    _ text: UnsafeMutablePointer<CChar>!, _ capacity: Int, _ length: UnsafeMutablePointer<Int>!
) -> loravk_status {
    call {
        let tokenizer = try tokenizerOf(handle)
        let tokens = try array(tokens, count, "tokens")
        try give(tokenizer.decode(tokens, skipSpecialTokens: skipSpecial), to: text, capacity, length)
    }
}

@c @implementation public func loravk_tokenizer_apply_chat_template(
    _ handle: OpaquePointer!, _ roles: UnsafePointer<UnsafePointer<CChar>?>!,
    _ contents: UnsafePointer<UnsafePointer<CChar>?>!, _ count: Int, _ addGenerationPrompt: Bool,
    _ text: UnsafeMutablePointer<CChar>!, _ capacity: Int, _ length: UnsafeMutablePointer<Int>!
) -> loravk_status {
    call {
        let tokenizer = try tokenizerOf(handle)
        let messages = zip(try texts(roles, count, "roles"), try texts(contents, count, "contents"))
            .map { (role: $0, content: $1) }
        guard let renderer = try ChatRenderer(tokenizer) else {
            throw APIError(LORAVK_ERROR_UNSUPPORTED, "the tokenizer came without a chat template")
        }
        for (index, message) in messages.enumerated() where !usualRoles.contains(message.role) {
            Logs.warn(
                "message \(index) has the role '\(message.role)'; most templates know only "
                    + usualRoles.sorted().joined(separator: ", "))
        }
        let chat = try renderer.render(Chat(messages), addGenerationPrompt: addGenerationPrompt)
        try give(chat, to: text, capacity, length)
    }
}

private let usualRoles: Set = ["system", "developer", "user", "assistant", "tool"]

/// Values into the caller's room; NULL only asks how many there are.
func give<T>(_ values: [T], to room: UnsafeMutablePointer<T>?, _ capacity: Int, _ name: String) throws {
    guard let room else {
        guard capacity == 0 else {
            throw APIError.argument("\(name) is NULL with a capacity of \(UInt(bitPattern: capacity))")
        }
        return
    }
    guard UInt(bitPattern: capacity) >= values.count else {
        throw APIError(
            LORAVK_ERROR_BUFFER_TOO_SMALL, "\(name) has room for \(capacity), and \(values.count) are needed")
    }
    room.update(from: values, count: values.count)
}

/// A text with a NUL behind it.
private func give(
    _ string: String, to room: UnsafeMutablePointer<CChar>?, _ capacity: Int,
    _ length: UnsafeMutablePointer<Int>?
) throws {
    let length = try required(length, "length")
    let bytes = string.utf8.map { CChar(bitPattern: $0) }
    try give(bytes + [0], to: room, capacity, "text")
    length.pointee = bytes.count
}
