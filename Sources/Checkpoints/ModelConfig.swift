// The shape and constants of a Llama-architecture model, from Hugging Face's config.json or from GGUF
// metadata, both through the one validation at the end of this file.

package struct ModelConfig: Sendable, Equatable {
    /// Hugging Face's `model_type`.
    package var modelType: String
    package var vocabSize: Int
    package var hiddenSize: Int
    package var intermediateSize: Int
    package var layers: Int
    package var heads: Int
    package var kvHeads: Int
    package var headDim: Int
    package var rmsNormEps: Double
    package var ropeTheta: Double
    package var ropeScaling: RopeScaling
    package var maxPositions: Int
    package var tieWordEmbeddings: Bool
    package var bosTokenID: Int?
    package var eosTokenIDs: [Int]
    package var padTokenID: Int?

    /// The angle per position of each rotary pair.
    package var inverseFrequencies: [Double] {
        ropeScaling.inverseFrequencies(theta: ropeTheta, headDim: headDim)
    }

    package init(
        modelType: String, vocabSize: Int, hiddenSize: Int, intermediateSize: Int, layers: Int, heads: Int,
        kvHeads: Int, headDim: Int, rmsNormEps: Double, ropeTheta: Double, ropeScaling: RopeScaling,
        maxPositions: Int, tieWordEmbeddings: Bool, bosTokenID: Int?, eosTokenIDs: [Int], padTokenID: Int?
    ) {
        self.modelType = modelType
        self.vocabSize = vocabSize
        self.hiddenSize = hiddenSize
        self.intermediateSize = intermediateSize
        self.layers = layers
        self.heads = heads
        self.kvHeads = kvHeads
        self.headDim = headDim
        self.rmsNormEps = rmsNormEps
        self.ropeTheta = ropeTheta
        self.ropeScaling = ropeScaling
        self.maxPositions = maxPositions
        self.tieWordEmbeddings = tieWordEmbeddings
        self.bosTokenID = bosTokenID
        self.eosTokenIDs = eosTokenIDs
        self.padTokenID = padTokenID
    }

    /// What a file may state: far above any model, far below where products overflow.
    enum Range {
        static let vocab = 1...(1 << 24)
        static let width = 1...(1 << 20)
        static let layers = 1...10_000
        static let heads = 1...(1 << 14)
        static let positions = 1...(1 << 30)
    }

    /// Holds for every config, whatever file it came from.
    func validate(_ path: String) throws(FileError) {
        func require(_ condition: Bool, _ message: @autoclosure () -> String) throws(FileError) {
            if !condition { throw FileError(path, message()) }
        }
        try require(heads % kvHeads == 0, "\(heads) attention heads cannot share \(kvHeads) key/value heads")
        try require(headDim % 2 == 0, "a head of \(headDim) numbers has no rotary pairs, it must be even")
        try require(rmsNormEps < 1, "the epsilon \(rmsNormEps) of RMSNorm is not below 1")
        for (name, ids) in [
            ("bos", [bosTokenID].compactMap { $0 }), ("eos", eosTokenIDs),
            ("pad", [padTokenID].compactMap { $0 }),
        ] {
            for id in ids {
                try require(
                    0 <= id && id < vocabSize,
                    "the \(name) token id \(id) is not one of the \(vocabSize) tokens of the vocabulary")
            }
        }
        switch ropeScaling {
        case .none: break
        case .linear(let factor): try require(factor >= 1, "the rope scaling factor \(factor) is below 1")
        case .llama3(let factor, let low, let high, _):
            try require(factor >= 1, "the rope scaling factor \(factor) is below 1")
            try require(
                low < high, "the rope frequency factors \(low) (low) and \(high) (high) are out of order")
        case .divisors(let divisors):
            try require(
                divisors.count == headDim / 2,
                "has \(divisors.count) rope frequency factors, a head of \(headDim) needs \(headDim / 2)"
            )
            try require(
                divisors.allSatisfy { $0 > 0 && $0.isFinite },
                "has a rope frequency factor that is not positive")
        }
    }
}
