// What attention is told of a layer, and the work that a launch of it is.

import VulkanCompute

/// Heads and scores of a layer's attention: scores are scale·q·k, bent to c·tanh(scale·q·k / c) where `scoreCap` is a c.
package struct AttentionShape: Sendable, Equatable {
    package var heads: Int  // H
    /// Divides `heads`: query head h uses key/value head h / (heads / kvHeads).
    package var kvHeads: Int  // KVH
    /// A multiple of 4, at most 256.
    package var headSize: Int  // D
    package var scale: Float
    package var scoreCap: Float?
    /// A query sees the keys of its span up to its own, and otherwise the whole span.
    package var isCausal: Bool

    /// Scores are scaled by 1/√D unless `scale` says otherwise.
    package init(
        heads: Int, kvHeads: Int, headSize: Int, scale: Float? = nil, scoreCap: Float? = nil,
        isCausal: Bool = true
    ) {
        (self.heads, self.kvHeads, self.headSize) = (heads, kvHeads, headSize)
        self.scale = scale ?? 1 / Float(headSize).squareRoot()
        self.scoreCap = scoreCap
        self.isCausal = isCausal
    }

    /// Query heads that share a key/value head.
    var groupSize: Int { heads / kvHeads }

    func check(_ label: String) {
        precondition(
            heads > 0 && kvHeads > 0 && heads % kvHeads == 0 && headSize > 0 && headSize % 4 == 0
                && headSize <= 256,
            "\(label): \(heads) heads over \(kvHeads) of \(headSize)")
        precondition(scoreCap.map { $0 > 0 } ?? true, "\(label): scores capped at \(scoreCap ?? 0)")
    }
}

/// Queries and keys that meet in a shape.
struct AttentionWork {
    let shape: AttentionShape
    let queries: Int
    let keys: Int

    init(_ shape: AttentionShape, q: Tensor, k: Tensor, spans: Tensor, _ label: String) {
        shape.check(label)
        precondition(
            spans.dtype == .i32 && spans.count == q.rows * 2,
            "\(label): spans \(spans.shape) of \(q.rows) queries")
        (self.shape, queries, keys) = (shape, q.rows, k.rows)
        check(queries: [q], keys: [k], columns: [], label)
    }

    func check(queries: [Tensor], keys: [Tensor], columns: [Tensor], _ label: String) {
        func areRows(_ tensors: [Tensor], _ rows: Int, _ heads: Int) -> Bool {
            tensors.allSatisfy {
                $0.rows == rows && $0.width == heads * shape.headSize && $0.pitch == $0.width
            }
        }
        precondition(
            areRows(queries, self.queries, shape.heads) && areRows(keys, self.keys, shape.kvHeads)
                && columns.allSatisfy { $0.count == self.queries * shape.heads },
            "\(label): shapes \((queries + keys + columns).map(\.shape)) for \(self)")
    }

    /// Rows of one key/value head's queries.
    var queryRows: Int { queries * shape.groupSize }

    /// Work of so many products of all queries with all keys, at most half of which a causal mask leaves.
    func flops(products: Int) -> Double {
        Double(products * (shape.isCausal ? 1 : 2)) * Double(queries) * Double(keys)
            * Double(shape.heads * shape.headSize)
    }

    /// Attention reads its matrices whole: the encoder's family, unless one has too many texels for it.
    func family(_ encoder: CommandEncoder, _ inputs: [Tensor]) -> Shader.Family {
        let limit = encoder.capabilities.maxTexelBufferElements * 16
        return encoder.family == .texel && inputs.contains { $0.byteCount > limit }
            ? .subgroup : encoder.family
    }

    func constants(_ tile: AttentionTile) -> [String: UInt32] {
        // Scores are powers of 2 inside.
        let log2e: Float = 1.4426950408889634
        return tile.constants.merging([
            "HEAD_SIZE": UInt32(shape.headSize), "GROUP_SIZE": UInt32(shape.groupSize),
            "SCORE_CAP": ((shape.scoreCap ?? 0) * log2e).bitPattern, "CAUSAL": shape.isCausal ? 1 : 0,
        ]) { $1 }
    }
}
