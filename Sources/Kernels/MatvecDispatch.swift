// Products of a frozen weight with a few rows, y = x·Wᵀ (+ h·Bᵀ), as generation makes them: a kernel of their own, since
// what costs is to read and unpack the weight.

import VulkanCompute

extension CommandEncoder {
    /// Products of a frozen weight with so many rows or fewer want what they multiply unbroken: no columns of wider matrices.
    package static let fewRows = KernelSelection.matvecRows

    /// `piece.m` is at most KernelSelection.matvecRows.
    func runMatvec(
        _ piece: MatmulProduct, _ weight: Weight, _ family: Shader.Family, _ label: String
    ) throws(VulkanError) {
        let tile = KernelSelection.matvecTile(
            m: piece.m, n: piece.n, family: family, lanes: capabilities.lanes(family))
        var constants = tile.specialization
        constants["ACCUMULATE"] = piece.plus == nil ? 0 : 1
        let type = weight.layout.type
        let y = piece.y.slice
        let x = piece.x.slice
        let inputs =
            [x, piece.lora?.h.slice ?? x, piece.lora?.matrix.slice ?? x, weight.tiles]
            + (weight.scales.map { [$0] } ?? [])
        try dispatch(
            family == .shared
                ? Shader.matvecShared(weight: type) : Shader.matvec(family: family, weight: type),
            // The register kernel reads y's old content through a binding of its own.
            (family == .shared ? [y] : [y, piece.plus?.slice ?? x]) + inputs,
            push: [
                piece.m, piece.n, piece.k, piece.rank, piece.x.pitch / 4, piece.y.pitch / 4,
                piece.yColumn / 4,
            ] + (family == .shared ? [piece.scale] : []),
            specialization: constants, groups: tile.groups(piece.m, piece.n), flops: piece.flops, label: label
        )
    }

    /// y = scale·x·wᵀ of a few rows and a row-major w of few rows, as a token's x·Aᵀ: the kernel's adapter term alone. Few workgroups, but
    /// one launch; the wider they are, the fewer times each waits for memory.
    func runMatvec(_ piece: MatmulProduct, rows w: Tensor, _ label: String) throws(VulkanError) {
        let most = min(capabilities.maxWorkgroupInvocations, capabilities.maxWorkgroupSize)
        let tile = KernelSelection.matvecTile(
            m: piece.m, n: piece.n, family: .shared, lanes: most >= 256 ? 256 : 128)
        let (x, y) = (piece.x.slice, piece.y.slice)
        try dispatch(
            Shader.matvecShared(weight: .f32), [y, x, x, w.slice, w.slice],
            push: [piece.m, piece.n, 0, piece.k, 0, piece.y.pitch / 4, piece.yColumn / 4, piece.scale],
            specialization: tile.specialization.merging(["ACCUMULATE": 0]) { $1 },
            groups: tile.groups(piece.m, piece.n), flops: piece.flops, label: label)
    }
}

extension MatmulProduct {
    /// The weight, where this is one for the matrix–vector kernels.
    var fewRowsWeight: Weight? {
        guard op == .nt, m <= KernelSelection.matvecRows, case .weight(let weight) = w, hPitch == rank
        else { return nil }
        return weight
    }

    /// The matrix, where this is a product of few rows by its few rows, all of them whole.
    var fewRowsMatrix: Tensor? {
        guard op == .nt, m <= KernelSelection.matvecRows, n <= KernelSelection.fewOutputs, lora == nil,
            plus == nil, case .tensor(let matrix) = w, isInFours, xColumn == 0, matrix.column == 0,
            m == 1 || x.pitch == k, matrix.pitch == k
        else { return nil }
        return matrix
    }
}
