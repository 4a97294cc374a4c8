// From a product to dispatches: pieces, family, orientation and tile, then the kernel's bindings and push constants.

import VulkanCompute

extension CommandEncoder {
    func run(_ product: MatmulProduct, label: String) throws(VulkanError) {
        if takesOnHost(product) { return try runOnHost(product, label) }
        let family = product.family(preferred: family, capabilities)
        var product = product
        let onMatrixUnits = KernelSelection.onMatrixUnits(product, family, capabilities) && usesMatrixUnits
        let chosen = chosenTile(product, family, onMatrixUnits: onMatrixUnits)
        // Families of CPU devices sum in one run whatever kernel takes a product of theirs.
        let longestSum =
            self.family == .shared && !onMatrixUnits
            ? KernelSelection.longestSum(product, capabilities) : MatmulProduct.accurateSum
        var pieces = product.pieces(capabilities, family, longestSum: longestSum)
        // Two kernels of a GPU add to what y holds.
        if family == .shared, onMatrixUnits || pieces.contains(where: { $0.fewRowsWeight != nil }),
            let plus = product.plus, !plus.slice.isSame(as: product.y.slice)
        {
            try copy(into: product.y.slice, from: plus.slice)
            product.plus = product.y
            pieces = product.pieces(capabilities, family, longestSum: longestSum)
        }
        for piece in pieces {
            if let weight = piece.fewRowsWeight {
                try runMatvec(piece, weight, family, label)
            } else if onMatrixUnits, piece.m >= KernelSelection.matrixUnitRows,
                case .weight(let weight) = piece.w
            {
                try runCooperative(piece, weight, chosen, label)
            } else if self.family == .shared, let matrix = piece.fewRowsMatrix {
                try runMatvec(piece, rows: matrix, label)
            } else if family == .shared {
                // A tile of the matrix units is none for the few rows that are left over.
                try runShared(piece, onMatrixUnits ? nil : chosen, label)
            } else {
                try runInRegisters(piece, family, chosen, label)
            }
        }
    }

    // MARK: Register tiles

    // The kernels read y's old content through a binding of its own; where they do not, any tensor will do.
    private func runInRegisters(
        _ piece: MatmulProduct, _ family: Shader.Family, _ chosen: Tuning.Constants?, _ label: String
    ) throws(VulkanError) {
        let lanes = capabilities.subgroupSize
        // A product with few columns is computed as its transpose: its rows fill the lanes instead.
        if case .tensor(let w) = piece.w, piece.lora == nil, piece.n < 4 * lanes * 2 {
            try runTurned(piece, w, family, label)
            return
        }
        let tile = KernelSelection.registerTile(
            m: piece.m, n: piece.n, k: piece.k, inFours: piece.op == .tn, capabilities, chosen: chosen)
        var constants = tile.specialization
        constants["ACCUMULATE"] = piece.plus == nil ? 0 : 1
        constants["TRANSPOSED"] = 0
        let push: [any PushWord] = [
            piece.m, piece.n, piece.k, piece.rank, piece.x.pitch / 4, piece.xColumn / 4, piece.w.pitch / 4,
            piece.w.column / 4, piece.y.pitch / 4, piece.yColumn / 4, piece.hPitch / 4, piece.hColumn / 4,
            piece.scale,
        ]
        let groups = tile.groups(piece.m, piece.n)
        let y = piece.y.slice
        let x = piece.x.slice
        let oldY = piece.plus?.slice ?? x
        if piece.op == .tn {
            guard case .tensor(let w) = piece.w else { preconditionFailure("TN multiplies two tensors") }
            try dispatch(
                Shader.matmulTransposed(op: .tn, family: family), [y, oldY, x, w.slice], push: push,
                specialization: constants, groups: groups, flops: piece.flops, label: label)
            return
        }
        constants["RANK_TERM"] = piece.lora == nil ? 0 : 1
        let adapter = [piece.lora?.h.slice ?? x, piece.lora?.matrix.slice ?? x]
        var type = Shader.Weight.f32
        var matrix: [BufferSlice]
        switch piece.w {
        case .tensor(let tensor):
            matrix = [tensor.slice]
            constants["TILED"] = 0
        case .weight(let weight):
            type = weight.layout.type
            matrix = [weight.tiles] + (weight.scales.map { [$0] } ?? [])
            if type == .f32 { constants["TILED"] = 1 }
        }
        try dispatch(
            Shader.matmul(op: piece.op, family: family, weight: type), [y, oldY, x] + adapter + matrix,
            push: push,
            specialization: constants, groups: groups, flops: piece.flops, label: label)
    }

    /// yᵀ = (op(x, w))ᵀ: NT as w·xᵀ, NN as wᵀ·xᵀ, TN as wᵀ·x.
    private func runTurned(
        _ piece: MatmulProduct, _ w: Tensor, _ family: Shader.Family, _ label: String
    ) throws(VulkanError) {
        let op: Shader.Op = piece.op == .nn ? .tt : piece.op
        let tile = KernelSelection.registerTile(
            m: piece.n, n: piece.m, k: piece.k, inFours: true, capabilities)
        var constants = tile.specialization
        constants["ACCUMULATE"] = piece.plus == nil ? 0 : 1
        constants["TRANSPOSED"] = 1
        let groups = tile.groups(piece.n, piece.m)
        let y = piece.y.slice
        let x = piece.x.slice
        let oldY = piece.plus?.slice ?? x
        let push: [any PushWord] = [
            piece.n, piece.m, piece.k, 0, w.pitch / 4, w.column / 4, piece.x.pitch / 4, piece.xColumn / 4,
            piece.y.pitch / 4, piece.yColumn / 4, 0, 0, piece.scale,
        ]
        if op == .nt {
            constants["TILED"] = 0
            constants["RANK_TERM"] = 0
            try dispatch(
                Shader.matmul(op: .nt, family: family, weight: .f32), [y, oldY, w.slice, x, x, x], push: push,
                specialization: constants, groups: groups, flops: piece.flops, label: label)
        } else {
            try dispatch(
                Shader.matmulTransposed(op: op, family: family), [y, oldY, w.slice, x], push: push,
                specialization: constants, groups: groups, flops: piece.flops, label: label)
        }
    }

    // MARK: Matrix units

    /// The product of the frozen weight on the matrix units, then the adapter's term in f32.
    private func runCooperative(
        _ piece: MatmulProduct, _ weight: Weight, _ chosen: Tuning.Constants?, _ label: String
    ) throws(VulkanError) {
        let tile = KernelSelection.cooperativeTile(capabilities, chosen: chosen)
        var constants = tile.specialization
        constants["ACCUMULATE"] = piece.plus == nil ? 0 : 1
        let push: [any PushWord] = [
            piece.m, piece.n, piece.k, piece.x.pitch, piece.xColumn, piece.y.pitch, piece.yColumn,
            piece.scale,
        ]
        try dispatch(
            Shader.matmulCooperative(op: piece.op, weight: weight.layout.type),
            [piece.y.slice, piece.x.slice, weight.tiles] + (weight.scales.map { [$0] } ?? []), push: push,
            specialization: constants, groups: tile.groups(piece.m, piece.n),
            flops: 2 * Double(piece.m) * Double(piece.n) * Double(piece.k), label: label)
        if let term = piece.adapterTerm { try runShared(term, nil, "\(label), adapter") }
    }
}
