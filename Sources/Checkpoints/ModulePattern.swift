// The keys of `rank_pattern` and `alpha_pattern`. PEFT takes them for regular expressions, anchored at the
// end and at a dot or the start: (.*\.)?KEY$. Here they are names, with `^` at the start, `$` at the end and
// `\.` allowed; no more is in use.

package struct ModulePattern: Sendable, Equatable {
    package let text: String
    private let name: String
    private let isWhole: Bool

    package init(_ text: String, path: String) throws(FileError) {
        var rest = text[...]
        isWhole = rest.first == "^"
        if isWhole { rest.removeFirst() }
        if rest.last == "$" { rest.removeLast() }
        var name = ""
        var isEscaped = false
        for character in rest {
            if character == "\\", !isEscaped {
                isEscaped = true
                continue
            }
            let isPlain =
                character.isASCII && (character.isLetter || character.isNumber || "_-".contains(character))
            guard character == "." || (isPlain && !isEscaped) else {
                throw FileError(
                    path,
                    "the pattern '\(text.shortened)' is a regular expression, only names are supported",
                    remedy: "name each module")
            }
            isEscaped = false
            name.append(character)
        }
        guard !name.isEmpty, !isEscaped else {
            throw FileError(path, "the pattern '\(text.shortened)' names no module")
        }
        (self.text, self.name) = (text, name)
    }

    /// Whether the pattern means a module such as `model.layers.0.self_attn.q_proj`.
    package func matches(_ module: String) -> Bool {
        isWhole ? module == name : module.isModule(named: name)
    }
}

extension String {
    /// Whether a module's full name is `name` or ends with it after a dot.
    package func isModule(named name: String) -> Bool { self == name || hasSuffix("." + name) }

    /// Whether a tensor's full name is of a module called `name` or of one inside it.
    package func isInside(_ name: String) -> Bool { ("." + self).contains("." + name + ".") }
}
