// From the states of a text's tokens to one vector: which tokens' states are taken, and their mean. A batch has the rows of those tokens
// in place of targets, so that what follows the last attention runs for them alone.

package enum Pooling: String, Sendable, CaseIterable {
    /// The mean of all tokens.
    case mean
    /// The first token.
    case cls
    /// The last token.
    case last

    /// Of a sequence's tokens.
    func tokens(of sequence: Range<Int>) -> Range<Int> {
        switch self {
        case .mean: sequence
        case .cls: sequence.prefix(1)
        case .last: sequence.suffix(1)
        }
    }
}
