// Products through shared memory, on any device. A sum of which y's tiles would be too few workgroups is cut in parts: workgroups sum one
// each into scratch, and a second kernel adds them in order, so that the result is the same every time.

import VulkanCompute

extension CommandEncoder {
    func runShared(
        _ piece: MatmulProduct, _ chosen: Tuning.Constants?, _ label: String
    ) throws(VulkanError) {
        guard piece.isInFours else {
            try runStrided(piece, label)
            return
        }
        let part = family == .shared ? KernelSelection.partOfSum(piece, capabilities) : piece.k
        let parts = (piece.k + part - 1) / part
        guard parts > 1 else {
            try sum(
                piece, into: piece.y, column: piece.yColumn, plus: piece.plus, chosen: chosen, label: label)
            return
        }
        let sums = try takeScratch([parts * piece.m, piece.n])
        try sum(piece, inParts: part, into: sums, chosen: chosen, label: label)
        try addParts(
            sums, count: parts, into: piece.y, column: piece.yColumn, plus: piece.plus, label: label)
        giveScratch(sums)
    }

    /// y = Σ_p parts[p] (+ plus), of `parts` matrices of y's shape that lie behind each other.
    func addParts(
        _ sums: Tensor, count: Int, into y: Tensor, column: Int = 0, plus: Tensor? = nil, label: String
    ) throws(VulkanError) {
        let lanes = capabilities.lanes(.shared)
        let width = sums.width / 4
        try dispatch(
            Shader.sumParts(), [y.slice, plus?.slice ?? sums.slice, sums.slice],
            push: [y.rows, width, y.pitch / 4, column / 4, count],
            specialization: ["LANES": UInt32(lanes), "ACCUMULATE": plus == nil ? 0 : 1],
            groups: (y.rows * width + lanes - 1) / lanes, label: "\(label), parts")
    }

    /// y = op(x, w) (+ plus), or without `plus` the parts of it, each over `part` of the sum, behind each other.
    private func sum(
        _ piece: MatmulProduct, inParts part: Int? = nil, into y: Tensor, column: Int = 0,
        plus: Tensor? = nil,
        chosen: Tuning.Constants?, label: String
    ) throws(VulkanError) {
        let (m, n, k) = (piece.m, piece.n, piece.k)
        let part = part ?? k
        let tile = KernelSelection.sharedTile(m: m, n: n, capabilities, chosen: chosen)
        var constants = tile.specialization
        constants["ACCUMULATE"] = plus == nil ? 0 : 1
        let push: [any PushWord] = [
            m, n, k, piece.rank, part, piece.x.pitch / 4, piece.xColumn / 4, piece.w.pitch / 4,
            piece.w.column / 4, y.pitch / 4, column / 4, piece.hPitch / 4, piece.hColumn / 4, piece.scale,
        ]
        let x = piece.x.slice
        let shader: Shader
        var factors = [x]
        if piece.op == .tn {
            shader = Shader.matmulTransposedShared()
        } else {
            shader = Shader.matmulShared(op: piece.op, weight: piece.w.type)
            factors += [piece.lora?.h.slice ?? x, piece.lora?.matrix.slice ?? x]
            constants["RANK_TERM"] = piece.lora == nil ? 0 : 1
            if case .tensor = piece.w { constants["TILED"] = 0 } else { constants["TILED"] = 1 }
        }
        try dispatch(
            shader, [y.slice, plus?.slice ?? x] + factors + piece.w.slices, push: push,
            specialization: constants, groups: tile.groups(m, n) * ((k + part - 1) / part),
            flops: piece.flops, label: label)
    }

    /// A product that does not go by four floats at a time: two row-major matrices, and the adapter's term after them.
    private func runStrided(_ piece: MatmulProduct, _ label: String) throws(VulkanError) {
        guard case .tensor(let w) = piece.w else {
            preconditionFailure("\(label): rows beside a frozen weight begin at multiples of four floats")
        }
        let x = piece.x.slice
        let (xRow, xColumn) = piece.op == .tn ? (1, piece.x.pitch) : (piece.x.pitch, 1)
        let (wRow, wColumn) = piece.op == .nt ? (1, w.pitch) : (w.pitch, 1)
        let push: [any PushWord] = [
            piece.m, piece.n, piece.k, xRow, xColumn, piece.xColumn, wRow, wColumn, w.column, piece.y.pitch,
            piece.yColumn, piece.scale,
        ]
        let side = 32
        try dispatch(
            Shader.matmulStrided(), [piece.y.slice, piece.plus?.slice ?? x, x, w.slice], push: push,
            specialization: ["LANES": 64, "ACCUMULATE": piece.plus == nil ? 0 : 1],
            groups: (piece.m + side - 1) / side * ((piece.n + side - 1) / side),
            flops: 2 * Double(piece.m) * Double(piece.n) * Double(piece.k), label: label)
        if let term = piece.adapterTerm { try runStrided(term, "\(label), adapter") }
    }
}
