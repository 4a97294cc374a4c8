// The general category of each scalar as a number from a table, for expressions: \p{Lu}, \p{L}, \s …

enum ScalarCategory {
    private static let all: [(name: String, category: Unicode.GeneralCategory)] = [
        ("Lu", .uppercaseLetter), ("Ll", .lowercaseLetter), ("Lt", .titlecaseLetter), ("Lm", .modifierLetter),
        ("Lo", .otherLetter), ("Mn", .nonspacingMark), ("Mc", .spacingMark), ("Me", .enclosingMark),
        ("Nd", .decimalNumber), ("Nl", .letterNumber), ("No", .otherNumber), ("Pc", .connectorPunctuation),
        ("Pd", .dashPunctuation), ("Ps", .openPunctuation), ("Pe", .closePunctuation),
        ("Pi", .initialPunctuation), ("Pf", .finalPunctuation), ("Po", .otherPunctuation),
        ("Sm", .mathSymbol), ("Sc", .currencySymbol), ("Sk", .modifierSymbol), ("So", .otherSymbol),
        ("Zs", .spaceSeparator), ("Zl", .lineSeparator), ("Zp", .paragraphSeparator), ("Cc", .control),
        ("Cf", .format), ("Cs", .surrogate), ("Co", .privateUse), ("Cn", .unassigned),
    ]

    /// Numbers are below this.
    static let count = 64
    /// Added to the category of a scalar that the expressions of `tokenizers` 0.22 do not know: they have the tables of
    /// Unicode 16, and for them it is unassigned.
    private static let newer: UInt8 = 32

    /// The categories that `\p{name}` stands for, a bit each: `L` is `Lu`, `Ll` … nil where it is none.
    static func mask(_ name: String) -> UInt64? {
        var mask: UInt64 = 0
        for (number, (other, _)) in all.enumerated() where other.hasPrefix(name) {
            mask |= 1 << UInt64(number)
        }
        if name == "C" || name == "Cn" { mask |= ~0 << UInt64(newer) }
        // What Rust calls numeric, for which `Digits` looks, by newer tables.
        if name == "numeric" { mask = (self.mask("N") ?? 0) * (1 | 1 << UInt64(newer)) }
        return name.isEmpty || mask == 0 ? nil : mask
    }

    static func number(_ value: UInt32) -> UInt8 {
        switch value {
        case 0..<UInt32(table.count): table[Int(value)]
        // The large blocks of ideographs and of Hangul's syllables.
        case 0x3400...0x4DBF, 0x4E00...0x9FFF, 0xAC00...0xD7A3: otherLetter
        default: compute(value)
        }
    }

    /// Of the scalars in which most alphabets lie; others are looked up one by one.
    static let table: [UInt8] = (0..<0x3400).map { compute($0) }

    private static let otherLetter: UInt8 = 4
    private static let numbers = Dictionary(
        uniqueKeysWithValues: all.enumerated().map { ($1.category, UInt8($0)) })

    private static func compute(_ value: UInt32) -> UInt8 {
        guard let properties = Unicode.Scalar(value)?.properties else { return numbers[.surrogate] ?? 0 }
        guard let number = numbers[properties.generalCategory] else { return newer }
        let isNewer = properties.age.map { $0.major > 16 } ?? false
        return isNewer ? number + newer : number
    }
}

/// A set of scalars as an expression writes it.
indirect enum ScalarSet: Hashable, Sendable {
    /// A bit for each number of a category.
    case categories(UInt64)
    case scalars(ClosedRange<UInt32>)
    case union([ScalarSet])
    case intersection([ScalarSet])
    case complement(ScalarSet)

    static func scalar(_ value: UInt32) -> ScalarSet { .scalars(value...value) }

    /// \s
    static var whitespace: ScalarSet {
        .union([.categories(ScalarCategory.mask("Z") ?? 0), .scalars(0x09...0x0D), .scalar(0x85)])
    }

    func contains(_ value: UInt32, category: UInt8) -> Bool {
        switch self {
        case .categories(let mask): mask >> UInt64(category) & 1 == 1
        case .scalars(let range): range.contains(value)
        case .union(let sets): sets.contains { $0.contains(value, category: category) }
        case .intersection(let sets): sets.allSatisfy { $0.contains(value, category: category) }
        case .complement(let set): !set.contains(value, category: category)
        }
    }

    /// Where its ranges begin, and the scalars behind their ends.
    var bounds: [UInt32] {
        switch self {
        case .categories: []
        case .scalars(let range): [range.lowerBound, range.upperBound + 1]
        case .union(let sets), .intersection(let sets): sets.flatMap(\.bounds)
        case .complement(let set): set.bounds
        }
    }
}
