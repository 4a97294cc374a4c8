// Rotary position embedding: the rotation of every head of a matrix by its token's angles (RotaryAngles).
// Su et al.: RoFormer (2021).

import VulkanCompute

extension CommandEncoder {
    /// Rotates every head of `x` (N, heads·D) by its token's position into `y`, which may be `x`; both may be columns of wider
    /// matrices. `positions` (N) of ints, `table` (P, R) from RotaryAngles: the first R numbers of a head turn in pairs
    /// (j, j + R/2), or (2j, 2j + 1) where `isInterleaved`, and the rest passes through. D is R unless `headSize` says more.
    /// `inverse` is the transpose: it rotates back, unless the table is scaled, and is the backward with any table.
    package func rotary(
        into y: Tensor, _ x: Tensor, positions: Tensor, table: Tensor, headSize: Int? = nil,
        isInterleaved: Bool = false, inverse: Bool = false, label: String = "rotary"
    ) throws(VulkanError) {
        let rotation = Rotation(table, headSize: headSize ?? table.width, isInterleaved, label)
        precondition(
            rotation.fits(x) && rotation.fits(y) && y.rows == x.rows && y.width == x.width
                && positions.count == x.rows && positions.dtype == .i32,
            "\(label): \(x.shape) into \(y.shape) by positions \(positions.shape) and heads of \(rotation.headSize)"
        )
        let direction: Float = inverse ? -1 : 1
        let rowByteCounts = [y.pitch * 4, x.pitch * 4, 4]
        for span in capabilities.spans(of: x.rows, rowByteCounts: rowByteCounts, family: family) {
            try dispatch(
                Shader.rotary(family: rotation.family(self)),
                [y.rows(span), x.rows(span), table, positions.elements(span)].map(\.slice),
                push: [x.width / rotation.headSize, table.rows - 1, direction] + y.rowPlace + x.rowPlace,
                specialization: rotation.constants(self), groups: span.count, label: label)
        }
    }
}

/// Which numbers of a head turn, and in what pairs.
struct Rotation {
    let headSize: Int
    /// R; 0 where nothing turns.
    private let size: Int
    private let isInterleaved: Bool

    init(_ table: Tensor?, headSize: Int, _ isInterleaved: Bool, _ label: String) {
        (self.headSize, size, self.isInterleaved) = (
            headSize, table?.width ?? 0, isInterleaved && table != nil
        )
        precondition(
            headSize > 0 && headSize % 4 == 0 && size % 2 == 0 && size <= headSize,
            "\(label): \(size) numbers of heads of \(headSize) cannot turn in pairs")
        precondition(
            table.map { $0.rows > 0 && $0.pitch == $0.width && $0.count % 4 == 0 } ?? true,
            "\(label): a table \(table?.shape ?? []) of angles, which must fill whole vectors of 4")
    }

    /// Whether `x` is whole heads, which begin at whole vectors.
    func fits(_ x: Tensor) -> Bool { x.width % headSize == 0 && x.pitch % 4 == 0 && x.column % 4 == 0 }

    /// Single floats can be stored only without texels.
    func family(_ encoder: CommandEncoder) -> Shader.Family {
        encoder.family == .texel && !isInterleaved && size % 8 == 0 ? .texel : .shared
    }

    func constants(_ encoder: CommandEncoder) -> [String: UInt32] {
        [
            "LANES": UInt32(encoder.capabilities.lanes(encoder.family)), "HEAD_SIZE": UInt32(headSize),
            "ROTARY_SIZE": UInt32(size), "INTERLEAVED": isInterleaved ? 1 : 0,
        ]
    }
}

extension Tensor {
    /// Where rows lie, in vectors of 4: from one to the next, and in front of the first.
    var rowPlace: [any PushWord] { [pitch / 4, column / 4] }
}
