// One matrix product, cut into pieces that the device's limits allow: rows of the output, rows of the matrix (columns of
// the output in NT, parts of the sum in NN), or rows of both operands (parts of the sum, in TN).

import VulkanCompute

extension Shader {
    /// NT: x·wᵀ, NN: x·w, TN: xᵀ·w. TT, xᵀ·wᵀ, is how a kernel computes the transpose of a narrow NN.
    package enum Op: String, CaseIterable, Sendable { case nt, nn, tn, tt }
}

/// The second operand of a product: a frozen weight, or a row-major matrix.
enum MatmulMatrix {
    case weight(Weight)
    case tensor(Tensor)

    var rows: Int {
        switch self {
        case .weight(let weight): weight.layout.rows
        case .tensor(let tensor): tensor.rows
        }
    }

    var columns: Int {
        switch self {
        case .weight(let weight): weight.layout.columns
        case .tensor(let tensor): tensor.width
        }
    }

    /// Elements from one row to the next, where rows lie as rows.
    var pitch: Int {
        switch self {
        case .weight(let weight): weight.layout.columns
        case .tensor(let tensor): tensor.pitch
        }
    }

    /// Elements of a row before the matrix.
    var column: Int {
        if case .tensor(let tensor) = self { tensor.column } else { 0 }
    }

    var isQuantised: Bool {
        if case .weight(let weight) = self { weight.layout.isQuantised } else { false }
    }

    var type: Shader.Weight {
        if case .weight(let weight) = self { weight.layout.type } else { .f32 }
    }

    var slices: [BufferSlice] {
        switch self {
        case .weight(let weight): [weight.tiles] + (weight.scales.map { [$0] } ?? [])
        case .tensor(let tensor): [tensor.slice]
        }
    }

    func rows(_ range: Range<Int>) -> MatmulMatrix {
        if range == 0..<rows { return self }
        switch self {
        case .weight(let weight): return .weight(weight.rows(range))
        case .tensor(let tensor): return .tensor(tensor.rows(range))
        }
    }
}

/// y (M, N) = scale · (op(x, w) + h·adapter) (+ plus, which lies as y does and may be y). The columns say where in wider rows
/// y, plus and x begin.
struct MatmulProduct {
    var op: Shader.Op
    var y: Tensor
    var yColumn = 0
    var x: Tensor
    var xColumn = 0
    var w: MatmulMatrix
    var lora: LoRATerm?
    var scale: Float = 1
    var plus: Tensor?

    var m: Int { y.rows }
    var n: Int { op == .nt ? w.rows : w.columns }
    var k: Int { op == .nt ? w.columns : w.rows }
    var rank: Int { lora?.h.width ?? 0 }
    var hPitch: Int { lora?.h.pitch ?? 0 }
    var hColumn: Int { lora?.h.column ?? 0 }
    var flops: Double { 2 * Double(m) * Double(n) * Double(k + rank) }

    /// lavapipe silently ends a kernel's loops after 65535 rounds, all loops counted together. A register kernel takes four
    /// numbers of the sum a round; the rest is for the adapter's rank.
    private static let longestSum = 64000 * 4
    /// A running sum of f32 loses digits with its length, when terms cancel in the end as they do over a vocabulary (the
    /// gradient of 49152 logits kept 4 of 7 digits in one sum). Parts are summed apart and then added. Any multiple of 128
    /// rows can be bound. Longer parts would be slower too: the rows of x that a tile walks over would leave a processor's cache.
    static let accurateSum = 2048

    /// The preferred family, or the next one that can do this product.
    func family(preferred: Shader.Family, _ capabilities: Capabilities) -> Shader.Family {
        // The register kernels read and write four floats at a time; x·wᵀ is not cut along its sum.
        let widths = [x.pitch, xColumn, y.pitch, yColumn, w.pitch, w.column, n]
        let inFours = widths.allSatisfy { $0 % 4 == 0 }
        if !inFours || (op == .nt && k > Self.longestSum) { return .shared }
        if preferred == .texel, w.isQuantised, !capabilities.extendedTexelFormats { return .subgroup }
        return preferred
    }

    /// Whether the kernels of shared memory can read and write it by runs of four floats.
    var isInFours: Bool {
        let widths = [x.pitch, xColumn, y.pitch, yColumn, w.pitch, w.column, n, op == .tn ? m : k]
        let adapter =
            lora.map { [$0.h.pitch, $0.h.column, $0.h.width, $0.matrix.pitch, $0.matrix.column] } ?? []
        return (widths + adapter).allSatisfy { $0 % 4 == 0 }
    }

    /// The adapter's part alone, added to y.
    var adapterTerm: MatmulProduct? {
        guard let lora else { return nil }
        var term = self
        (term.x, term.xColumn, term.w) = (lora.h, lora.h.column, .tensor(lora.matrix))
        (term.lora, term.plus) = (nil, y)
        return term
    }

    /// Sums over rows of w are cut at `longestSum`.
    func pieces(_ capabilities: Capabilities, _ family: Shader.Family, longestSum: Int) -> [MatmulProduct] {
        op == .tn
            ? sumPieces(capabilities, family, longestSum) : matrixPieces(capabilities, family, longestSum)
    }

    private func matrixPieces(
        _ capabilities: Capabilities, _ family: Shader.Family, _ longestSum: Int
    ) -> [MatmulProduct] {
        let pitches = [x.pitch, y.pitch] + (lora == nil ? [] : [hPitch])
        let matrixSpans = w.spans(
            capabilities, family, rank: op == .nt ? rank : 0,
            atMost: op == .nn ? longestSum : .max)
        return capabilities.spans(of: m, rowByteCounts: pitches.map { $0 * 4 }, family: family).flatMap {
            rows in
            matrixSpans.map { span in
                var piece = self
                piece.y = y.rows(rows)
                piece.plus = plus?.rows(rows)
                piece.x = x.rows(rows)
                piece.w = w.rows(span)
                let isFirst = span.lowerBound == 0
                if op == .nt {
                    piece.yColumn += span.lowerBound
                    piece.lora = lora.map { LoRATerm(h: $0.h.rows(rows), matrix: $0.matrix.rows(span)) }
                } else {
                    piece.xColumn += span.lowerBound
                    piece.lora = isFirst ? lora.map { LoRATerm(h: $0.h.rows(rows), matrix: $0.matrix) } : nil
                    if !isFirst { piece.plus = piece.y }
                }
                return piece
            }
        }
    }

    private func sumPieces(
        _ capabilities: Capabilities, _ family: Shader.Family, _ longestSum: Int
    ) -> [MatmulProduct] {
        let sums = capabilities.spans(of: k, rowByteCounts: [x.pitch * 4, w.pitch * 4], family: family)
            .cut(atMost: longestSum)
        return capabilities.spans(of: m, rowByteCounts: [y.pitch * 4], family: family, multiple: 4).flatMap {
            rows in
            sums.map { sum in
                var piece = self
                piece.y = y.rows(rows)
                piece.x = x.rows(sum)
                piece.xColumn += rows.lowerBound
                piece.w = w.rows(sum)
                piece.plus = sum.lowerBound > 0 ? piece.y : plus?.rows(rows)
                return piece
            }
        }
    }
}

extension MatmulMatrix {
    /// Runs of rows that fit one binding, as do the adapter's rows of `rank` beside them.
    func spans(
        _ capabilities: Capabilities, _ family: Shader.Family, rank: Int, atMost: Int
    ) -> [Range<Int>] {
        switch self {
        case .tensor(let tensor):
            return capabilities.spans(
                of: tensor.rows, rowByteCounts: [tensor.pitch * 4], family: family, multiple: 4
            )
            .cut(atMost: atMost)
        case .weight(let weight):
            let layout = weight.layout
            let elements = family == .texel ? capabilities.maxTexelBufferElements : Int.max
            let range = family == .texel ? Int.max : capabilities.maxStorageBufferRange
            func bands(_ byteCount: Int, texel: Int) -> Int {
                byteCount == 0 ? .max : min(range / byteCount, elements / (byteCount / texel))
            }
            let fitting = min(
                bands(layout.bandTileByteCount, texel: layout.tileTexelByteCount),
                bands(layout.bandScaleByteCount, texel: layout.scaleByteCount), bands(rank * 16, texel: 16))
            if fitting >= layout.rows / 4, layout.rows <= atMost { return [0..<layout.rows] }
            let granule = layout.rowGranule(alignment: capabilities.bindingAlignment, rank: rank)
            let size = min(fitting, atMost / 4) * 4 / granule * granule
            precondition(
                size > 0,
                "\(granule) rows of a \(layout.type) weight of \(layout.columns) columns do not fit a binding"
            )
            return [0..<layout.rows].cut(atMost: size)
        }
    }
}

extension [Range<Int>] {
    fileprivate func cut(atMost size: Int) -> [Range<Int>] {
        flatMap { range in
            range.count <= size
                ? [range]
                : stride(from: range.lowerBound, to: range.upperBound, by: size).map {
                    $0..<Swift.min($0 + size, range.upperBound)
                }
        }
    }
}
