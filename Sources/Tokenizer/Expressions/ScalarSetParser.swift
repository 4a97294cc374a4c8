// The sets of scalars in an expression: [a-z], \p{L}, \s, and single scalars.

extension ExpressionParser {
    mutating func characterClass() throws(ExpressionError) -> ScalarSet {
        try enter()
        defer { depth -= 1 }
        try expect("[")
        let isNegated = take("^")
        var parts: [ScalarSet] = []
        var items: [ScalarSet] = []
        while !take("]") {
            guard let scalar = peek else { throw refusal("a '[' without its ']'") }
            if scalar == "&", pattern.count > position + 1, pattern[position + 1] == "&" {
                position += 2
                parts.append(.union(items))
                items = []
            } else if scalar == "[" {
                guard pattern.count <= position + 1 || pattern[position + 1] != ":" else {
                    throw refusal("a named class")
                }
                items.append(try characterClass())
            } else {
                items.append(try item())
            }
        }
        parts.append(.union(items))
        let set = parts.count == 1 ? parts[0] : .intersection(parts)
        return isNegated ? .complement(set) : set
    }

    /// One scalar, a range of them or an escape inside of brackets.
    private mutating func item() throws(ExpressionError) -> ScalarSet {
        let first = try member()
        guard case .scalars(let low) = first, low.count == 1, peek == "-", pattern.count > position + 1,
            pattern[position + 1] != "]"
        else { return ignoresCase ? try closedOverCase(first) : first }
        position += 1
        guard case .scalars(let high) = try member(), high.count == 1, low.lowerBound <= high.lowerBound
        else {
            throw refusal("a range that is none")
        }
        guard !ignoresCase else { throw refusal("a range that ignores case") }
        return .scalars(low.lowerBound...high.lowerBound)
    }

    private mutating func member() throws(ExpressionError) -> ScalarSet {
        guard let scalar = peek else { throw unexpected() }
        if scalar == "\\" { return try escape() }
        position += 1
        return .scalar(scalar.value)
    }

    private func closedOverCase(_ set: ScalarSet) throws(ExpressionError) -> ScalarSet {
        guard case .scalars(let range) = set, let scalar = Unicode.Scalar(range.lowerBound) else {
            return set
        }
        return try literal(scalar)
    }

    /// A scalar that stands for itself, and for its other cases where they are ignored.
    func literal(_ scalar: Unicode.Scalar) throws(ExpressionError) -> ScalarSet {
        guard ignoresCase else { return .scalar(scalar.value) }
        guard scalar.isASCII else { throw refusal("a character beyond ASCII that ignores case") }
        switch scalar {
        case "a"..."z", "A"..."Z":
            let lower = scalar.value | 0x20
            var forms: [ScalarSet] = [.scalar(lower), .scalar(lower - 0x20)]
            if lower == 0x73 { forms.append(.scalar(0x17F)) }  // the long s
            if lower == 0x6B { forms.append(.scalar(0x212A)) }  // the sign for kelvin
            return .union(forms)
        default: return .scalar(scalar.value)
        }
    }

    mutating func escape() throws(ExpressionError) -> ScalarSet {
        try expect("\\")
        guard let scalar = peek else { throw refusal("a '\\' at its end") }
        position += 1
        switch scalar {
        case "s": return .whitespace
        case "S": return .complement(.whitespace)
        case "d": return .categories(ScalarCategory.mask("Nd") ?? 0)
        case "D": return .complement(.categories(ScalarCategory.mask("Nd") ?? 0))
        case "r": return .scalar(0x0D)
        case "n": return .scalar(0x0A)
        case "t": return .scalar(0x09)
        case "f": return .scalar(0x0C)
        case "v": return .scalar(0x0B)
        case "p", "P": return try property(isNegated: scalar == "P")
        case "x", "u": return try coded(scalar)
        case "a"..."z", "A"..."Z", "0"..."9": throw refusal("the escape '\\\(scalar)'")
        default: return try literal(scalar)
        }
    }

    private mutating func property(isNegated: Bool) throws(ExpressionError) -> ScalarSet {
        try expect("{")
        let isComplement = take("^") != isNegated
        var name = ""
        while let scalar = peek, scalar != "}" {
            name.unicodeScalars.append(scalar)
            position += 1
        }
        try expect("}")
        guard let mask = ScalarCategory.mask(name) else { throw refusal("the property '\(name)'") }
        guard !ignoresCase else { throw refusal("a property that ignores case") }
        return isComplement ? .complement(.categories(mask)) : .categories(mask)
    }

    /// \x61, \x{1F600} or \u0061
    private mutating func coded(_ kind: Unicode.Scalar) throws(ExpressionError) -> ScalarSet {
        let isBraced = kind == "x" && take("{")
        let most = isBraced ? 6 : kind == "x" ? 2 : 4
        var digits = ""
        while digits.count < most, let scalar = peek, scalar.properties.isASCIIHexDigit {
            digits.unicodeScalars.append(scalar)
            position += 1
        }
        if isBraced { try expect("}") }
        guard isBraced || digits.count == most, let value = UInt32(digits, radix: 16),
            let scalar = Unicode.Scalar(value)
        else { throw refusal("a character by its number that is none") }
        guard isBraced || kind == "u" || scalar.isASCII else { throw refusal("a byte that is no character") }
        return try literal(scalar)
    }
}
