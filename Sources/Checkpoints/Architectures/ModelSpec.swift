// A model as data: its branches, their layers, and what both kinds of files call them. What loads, plans, trains, generates,
// merges or exports walks over this. An architecture is only the function that makes one from a file.

package struct ModelSpec: Sendable, Equatable {
    /// Hugging Face's `model_type`.
    package var modelType: String
    /// GGUF's `general.architecture`; nil where llama.cpp has none.
    package var gguf: String?
    package var vocabulary: Int  // V
    package var width: Int  // C
    /// Positions that the model was made for.
    package var positions: Int
    package var embedding: EmbeddingSpec
    package var blocks: [[BranchSpec]]
    package var finalNorm: NormSpec
    package var head: HeadSpec
    package var tokens: TokenIDs
}

/// x := x + scale·after(output(mixer(inputs(before(x)))))
package struct BranchSpec: Sendable, Equatable {
    package var before: NormSpec?
    /// They all read the normed x: q, k, v; gate, up. None: the mixer reads it.
    package var inputs: [LinearSpec]
    package var mixer: MixerSpec
    /// nil: what the mixer gives is the branch's output.
    package var output: LinearSpec?
    /// Of the output, before it is added.
    package var after: NormSpec?
    package var scale = 1.0

    package init(before: NormSpec?, inputs: [LinearSpec], mixer: MixerSpec, output: LinearSpec?) {
        (self.before, self.inputs, self.mixer, self.output) = (before, inputs, mixer, output)
    }

    package var linears: [LinearSpec] { inputs + (output.map { [$0] } ?? []) }
}

/// What happens between the layers that read a branch's input and the one that writes its output. It has no layers that
/// can be adapted.
package enum MixerSpec: Sendable, Equatable {
    case attention(AttentionSpec)
    case activation(ActivationSpec)
    case convolution(ConvolutionSpec)
    case experts(ExpertsSpec)
}

/// Causal attention with grouped heads: softmax(cap(scale·q·kᵀ))·v.
package struct AttentionSpec: Sendable, Equatable {
    package var heads: Int  // H
    package var kvHeads: Int  // KVH
    package var headSize: Int  // D
    /// nil: this layer does not rotate.
    package var rope: RopeSpec?
    /// RMSNorm of q and k before they rotate: of each head, or of all heads as one, as its size says.
    package var queryNorm: NormSpec?
    package var keyNorm: NormSpec?
    /// Keys that a query sees, its own included; nil: all before it.
    package var window: Int?
    package var scale: Double
    /// c·tanh(s/c) of the scores.
    package var scoreCap: Double?
    /// A learned score of each head, of a key with no value (H); its whole name in the files.
    package var sinks: TensorName?

    package init(_ heads: HeadCounts, rope: RopeSpec?, window: Int? = nil) {
        (self.heads, kvHeads, headSize) = (heads.queries, heads.keys, heads.size)
        (self.rope, self.window) = (rope, window)
        scale = 1 / Double(heads.size).squareRoot()
    }
}

/// f(first)·second, or f(only).
package struct ActivationSpec: Sendable, Equatable {
    package var function: Activation
    package var isGated: Bool

    package init(_ function: Activation, isGated: Bool) {
        (self.function, self.isGated) = (function, isGated)
    }
}

/// c·conv(b·x): a causal convolution of each channel by itself over the tokens.
package struct ConvolutionSpec: Sendable, Equatable {
    package var name: TensorName
    package var channels: Int  // C
    package var taps: Int  // L
    package var hasBias = false

    package init(_ name: TensorName, channels: Int, taps: Int, hasBias: Bool = false) {
        (self.name, self.channels, self.taps, self.hasBias) = (name, channels, taps, hasBias)
    }
}

/// Σ s·down(f(gate(n))·up(n)) over the `used` experts of the largest logits of a router, s their scores.
package struct ExpertsSpec: Sendable, Equatable {
    package enum Scores: Sendable, Equatable {
        /// Shares of the softmax of all logits, or of those of the chosen experts alone.
        case softmax(ofChosen: Bool)
        /// scale·σ(logit), or where normalised shares that add up to the scale.
        case sigmoid(isNormalised: Bool, scale: Double)
    }

    /// A file with more is refused.
    package static let most = 1024

    package var router: TensorName  // (E, C)
    /// Added to the scores when experts are chosen, and only then (E).
    package var bias: TensorName?
    package var count: Int  // E
    package var used: Int  // k
    package var scores: Scores
    package var function: Activation
    /// Router and matrices have biases.
    package var hasBiases = false
    package var gate: ExpertMatrixSpec  // (F, C) each
    package var up: ExpertMatrixSpec
    package var down: ExpertMatrixSpec  // (C, F) each

    package init(
        router: TensorName, bias: TensorName? = nil, used: Int, _ scores: Scores, _ function: Activation,
        gate: ExpertMatrixSpec, up: ExpertMatrixSpec, down: ExpertMatrixSpec
    ) {
        (self.router, self.bias, self.used, self.scores) = (router, bias, used, scores)
        (self.function, self.gate, self.up, self.down) = (function, gate, up, down)
        count = gate.count
    }
}

/// A matrix of each expert: one tensor of all in GGUF files.
package struct ExpertMatrixSpec: Sendable, Equatable {
    /// What Hugging Face's files have.
    package enum Stored: Sendable, Equatable {
        /// A tensor an expert, by names: `mlp.experts.7.up_proj`.
        case each([String])
        /// Of each expert in a tensor the rows `first`, `first + step`, ….
        case rows(of: JoinedExpertsSpec, first: Int, step: Int)
    }

    /// Of all; Hugging Face's is made up, `mlp.experts.up_proj`.
    package var name: TensorName
    package var stored: Stored
    package var count: Int  // E
    package var outFeatures: Int
    package var inFeatures: Int
}

/// Matrices of all experts in one tensor of Hugging Face's files: of one kind, or gate and up.
package struct JoinedExpertsSpec: Sendable, Equatable {
    package enum Layout: Sendable, Equatable {
        /// (E, R, I)
        case rows
        /// (E, I, R)
        case columns
        /// Two tensors of bytes: NAME_blocks (E, R, I/32, 16) and NAME_scales (E, R, I/32).
        case mxfp4
    }

    package var name: String
    package var rows: Int  // R, of an expert
    package var layout: Layout

    package init(_ name: String, rows: Int, _ layout: Layout) {
        (self.name, self.rows, self.layout) = (name, rows, layout)
    }

    package var biasName: String { name + "_bias" }  // (E, R)
}

package enum Activation: String, CaseIterable, Sendable {
    case silu, gelu, geluTanh, relu2
    /// gpt-oss's: z·σ(1.702·z)·(clamp(u, ±7) + 1), z = min(x, 7)
    case clamped
}

/// Names of a module or tensor in both kinds of files, without `.weight`.
package struct TensorName: Sendable, Hashable {
    package var huggingFace: String
    package var gguf: String

    package init(_ huggingFace: String, gguf: String) { (self.huggingFace, self.gguf) = (huggingFace, gguf) }
}

/// y = x·Wᵀ + b
package struct LinearSpec: Sendable, Equatable {
    package var name: TensorName
    package var inFeatures: Int
    /// Widths of what one product gives: several where q, k, v or gate and up are one matrix.
    package var outputs: [Int]
    package var hasBias = false
    /// Hugging Face's file has the matrix as (in, out).
    package var isTransposed = false
    package var ggufOrder = RowOrder.asStored

    package var outFeatures: Int { outputs.reduce(0, +) }
}

package struct NormSpec: Sendable, Equatable {
    package enum Kind: String, Sendable {
        /// x/√(mean(x²) + ε)·w
        case rms
        /// (x − mean(x))/√(var(x) + ε)·w + b
        case layer
    }

    package var kind: Kind
    package var name: TensorName
    package var size: Int
    package var epsilon: Double
    /// Added to what Hugging Face's file has, as Gemma's 1 + w. GGUF files hold the sum.
    package var offset = 0.0

    package var hasBias: Bool { kind == .layer }
}

/// x = scale·W[id] (+ P[position])
package struct EmbeddingSpec: Sendable, Equatable {
    package var name: TensorName
    package var scale = 1.0
    /// Learned positions.
    package var positions: TensorName?

    package init(_ name: TensorName) { self.name = name }
}

/// logits = cap(scale·norm(x)·Wᵀ)
package struct HeadSpec: Sendable, Equatable {
    /// nil: the embedding's matrix.
    package var name: TensorName?
    package var scale = 1.0
    /// c·tanh(z/c) of the logits.
    package var logitCap: Double?

    package init(_ name: TensorName?) { self.name = name }

    package var isTied: Bool { name == nil }
}

package struct TokenIDs: Sendable, Equatable {
    package var bos: Int?
    package var eos: [Int]
    package var pad: Int?
}

extension ModelSpec {
    package var branches: [BranchSpec] { blocks.flatMap { $0 } }
    package var linears: [LinearSpec] { branches.flatMap(\.linears) }

    package var attentions: [AttentionSpec] {
        branches.compactMap { if case .attention(let attention) = $0.mixer { attention } else { nil } }
    }

    package var experts: [ExpertsSpec] {
        branches.compactMap { if case .experts(let experts) = $0.mixer { experts } else { nil } }
    }

    /// The widest product of a layer.
    package var widest: Int { linears.reduce(width) { max($0, $1.outFeatures, $1.inFeatures) } }

    /// Numbers between the two layers of a feed-forward branch.
    package var feedForward: Int {
        branches.reduce(0) { widest, branch in
            switch branch.mixer {
            case .activation: max(widest, branch.output?.inFeatures ?? 0)
            case .experts(let experts): max(widest, experts.used * experts.gate.outFeatures)
            case .attention, .convolution: widest
            }
        }
    }

    /// Windows shorter than the longest sequence, in ascending order.
    package var windows: [Int] { Set(attentions.compactMap(\.window)).filter { $0 < contextLength }.sorted() }

    private static let longestContext = 32768

    /// Positions that a sequence may have here: the model's own, within what the table of angles is built for.
    package var contextLength: Int { min(positions, Self.longestContext) }
}
