// The keys of `rank_pattern` and `alpha_pattern`. PEFT takes them for regular expressions, anchored at the end and at a
// dot or the start: (.*\.)?(KEY)$. Of several keys that mean a module the first counts.

package struct ModulePattern: Sendable, Equatable {
    package let text: String
    private let expression: NameExpression

    package init(_ text: String, path: String) throws(FileError) {
        do throws(NameExpression.Refusal) {
            expression = try NameExpression("(.*\\.)?(\(text))$")
            _ = try NameExpression(text)  // by itself too: no ')' of the key closes our '('
        } catch {
            throw FileError(
                path, "the pattern '\(text.shortened)' has \(error.what), which is not supported",
                remedy: "name each module")
        }
        self.text = text
    }

    /// Whether the pattern means a module such as `model.layers.0.self_attn.q_proj`.
    package func matches(_ module: String) -> Bool { expression.matches(module) }
}

extension String {
    /// Whether a module's full name is `name` or ends with it after a dot.
    package func isModule(named name: String) -> Bool { self == name || hasSuffix("." + name) }

    /// Whether a tensor is of a module whose full name ends with `name`, or of one inside it: what PEFT's `modules_to_save`
    /// means, so that 'norm' is each 'layernorm' too.
    package func isInside(_ name: String) -> Bool { contains(name + ".") }
}
