// Python's two ways to put values into a text: 'a %s' % value, and 'a {}'.format(value).

import Checkpoints

extension TemplateEvaluator {
    /// `%s`, `%r`, `%d`, `%i`, `%%`, as far as templates need them: no widths.
    mutating func formatted(_ format: String, _ values: [TemplateValue]) throws(FileError) -> String {
        try charge(bytes: format.utf8.count)
        var result = ""
        var values = values[...]
        var isDirective = false
        for scalar in format.unicodeScalars {
            guard isDirective else {
                if scalar == "%" { isDirective = true } else { result.unicodeScalars.append(scalar) }
                continue
            }
            isDirective = false
            if scalar == "%" {
                result += "%"
                continue
            }
            guard let value = values.popFirst() else {
                throw wrong("there are too few values for the format")
            }
            switch scalar {
            case "s": result += try text(value)
            case "d", "i":
                guard let number = value.number, let whole = Int(exactly: number.rounded(.towardZero)) else {
                    throw wrong("\(value.summary) is no number")
                }
                result += String(whole)
            default: throw wrong("the format %\(scalar) is not supported")
            }
        }
        guard !isDirective else { throw wrong("the format ends with %") }
        guard values.isEmpty else { throw wrong("there are too many values for the format") }
        return result
    }

    /// `{}`, `{0}`, `{name}`, `{{` and `}}`: no formats, no attributes.
    mutating func formatted(_ format: String, braces call: TemplateCall) throws(FileError) -> String {
        var result = ""
        var next = 0
        var rest = Array(format.unicodeScalars)[...]
        while let scalar = rest.popFirst() {
            guard scalar == "{" || scalar == "}" else {
                result.unicodeScalars.append(scalar)
                continue
            }
            if rest.first == scalar {
                rest.removeFirst()
                result.unicodeScalars.append(scalar)
                continue
            }
            guard scalar == "{", let end = rest.firstIndex(of: "}") else {
                throw wrong("the braces of the format do not match")
            }
            let name = TemplateText.string(rest[..<end])
            rest = rest[(end + 1)...]
            let value: TemplateValue?
            if name.isEmpty || Int(name) != nil {
                let index = Int(name) ?? next
                next += 1
                value = call.positional.indices.contains(index) ? call.positional[index] : nil
            } else {
                value = call.named.first { $0.name == name }?.value
            }
            guard let value else { throw wrong("the format has no value for '{\(name.prefix(40))}'") }
            result += try text(value)
        }
        return result
    }
}
