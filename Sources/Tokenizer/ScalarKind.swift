// Whether a scalar is a letter: \p{L}, which chat templates ask too.

enum ScalarKind {
    case letter, other

    private static let letters = ScalarCategory.mask("L") ?? 0

    init(_ scalar: Unicode.Scalar) {
        self = ScalarKind.letters >> UInt64(ScalarCategory.number(scalar.value)) & 1 == 1 ? .letter : .other
    }
}
