// Cuts text by an expression, and says what becomes of its matches (`Split` of the library `tokenizers`).

struct Splitter: Sendable, Equatable {
    enum Behavior: String, Sendable, CaseIterable {
        case removed = "Removed"
        case isolated = "Isolated"
        case mergedWithPrevious = "MergedWithPrevious"
        case mergedWithNext = "MergedWithNext"
        /// Matches that touch each other are one piece.
        case contiguous = "Contiguous"
    }

    let expression: Expression
    var behavior = Behavior.isolated
    /// What lies between the matches counts as matched.
    var isInverted = false

    func pieces(
        of text: UnsafeBufferPointer<UInt8>, in range: Range<Int>, _ body: (Range<Int>) -> Void
    ) {
        guard behavior != .isolated else {
            return expression.pieces(of: text, in: range) { piece, _ in body(piece) }
        }
        var open: Range<Int>?
        var wasMatch = false
        func close() {
            if let open { body(open) }
            open = nil
        }
        expression.pieces(of: text, in: range) { piece, isMatch in
            let isMatch = isMatch != isInverted
            let joins =
                switch behavior {
                case .isolated: false
                case .removed: false
                case .mergedWithPrevious: isMatch && !wasMatch
                case .mergedWithNext: !isMatch && wasMatch
                case .contiguous: isMatch == wasMatch
                }
            wasMatch = isMatch
            if joins, let before = open {
                open = before.lowerBound..<piece.upperBound
            } else {
                close()
                open = behavior == .removed && isMatch ? nil : piece
            }
        }
        close()
    }
}
