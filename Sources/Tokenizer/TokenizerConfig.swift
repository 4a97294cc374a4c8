// `tokenizer_config.json`: which tokens begin, end and pad a text, and the chat template.

import Checkpoints

package struct TokenizerConfig: Sendable {
    package var bosToken: String?
    package var eosToken: String?
    package var padToken: String?
    package var unknownToken: String?
    package var chatTemplate: String?

    package init() {}

    /// Empty where the folder has no such file; a file `chat_template.jinja` beside it goes before its own template.
    package init(folder: String) throws(FileError) {
        let path = folder + "/tokenizer_config.json"
        self.init()
        if FileSystem.exists(path) { self = try TokenizerConfig(json: JSON.read(path), path: path) }
        let template = folder + "/chat_template.jinja"
        if FileSystem.exists(template) {
            let file = try MappedFile(template)
            defer { withExtendedLifetime(file) {} }
            if let offset = firstInvalidUTF8(file.bytes) {
                throw FileError(template, at: .byte(offset), "the text is not valid UTF-8 here")
            }
            chatTemplate = String(decoding: file.bytes, as: UTF8.self)
        }
    }

    package init(json: JSON, path: String) throws(FileError) {
        let file = try JSONFields(json, path: path)
        bosToken = try TokenizerConfig.token("bos_token", file)
        eosToken = try TokenizerConfig.token("eos_token", file)
        padToken = try TokenizerConfig.token("pad_token", file)
        unknownToken = try TokenizerConfig.token("unk_token", file)
        chatTemplate = try TokenizerConfig.template(file)
    }

    /// A token is written as its text or as an added token with its flags.
    private static func token(_ key: String, _ file: JSONFields) throws(FileError) -> String? {
        if case .object? = file[key] { return try file.fields(key).string("content") }
        return try file.optionalString(key)
    }

    /// One template, or several by name of which `default` is the one for chats.
    private static func template(_ file: JSONFields) throws(FileError) -> String? {
        guard case .array(let templates)? = file["chat_template"] else {
            return try file.optionalString("chat_template")
        }
        for template in templates {
            let template = try JSONFields(template, path: file.path)
            if try template.string("name") == "default" { return try template.string("template") }
        }
        return nil
    }
}
