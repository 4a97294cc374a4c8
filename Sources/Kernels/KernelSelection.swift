// Which matmul kernel and which tile for a shape: what measuring chose (Tuner), else a plain function of the device and the shape.
// A loop of the register kernels holds about ROWS · GROUPS · STEPS · 8 vector instructions, best near 512: more leaves the
// instruction cache.

import VulkanCompute

/// One kernel with its tile: what is computed by one workgroup, and the constants that say so.
struct MatmulTile: Equatable {
    var rows: Int
    var columns: Int
    var specialization: [String: UInt32]

    /// Matrices of sums that a subgroup holds in registers.
    fileprivate func sums(_ capabilities: Capabilities) -> Int {
        guard let fragment = capabilities.cooperativeMatrix else { return 0 }
        let waves = Int((specialization["WAVES_M"] ?? 1) * (specialization["WAVES_N"] ?? 1))
        return rows * columns / (waves * fragment.m * fragment.n)
    }

    /// Workgroups for an (m, n) product.
    func groups(_ m: Int, _ n: Int) -> Int { (m + rows - 1) / rows * ((n + columns - 1) / columns) }
}

enum KernelSelection {
    /// A register tile for an (m, n) product whose m rows are the operand that is broadcast; `inFours` where rows are read
    /// or stored by four. `chosen`: the largest ROWS, the GROUPS and the order of workgroups that measuring found.
    static func registerTile(
        m: Int, n: Int, k: Int, inFours: Bool, _ capabilities: Capabilities, chosen: Tuning.Constants? = nil
    ) -> MatmulTile {
        let lanes = capabilities.subgroupSize
        let largest = chosen?["ROWS"].map(Int.init) ?? (lanes >= 16 ? 64 : 32)
        let rows = registerRows(m, inFours: inFours, atMost: largest)
        // Two runs of columns a lane use each broadcast twice, if that leaves enough workgroups to share out.
        let wide = (m + rows - 1) / rows * (n / (8 * lanes))
        let groups = chosen?["GROUPS"].map(Int.init) ?? (lanes <= 8 && rows >= 8 && wide >= 8 ? 2 : 1)
        let steps = rows < 8 ? 4 : 1
        var constants = [
            "LANES": UInt32(lanes), "ROWS": UInt32(rows), "GROUPS": UInt32(groups), "STEPS": UInt32(steps),
            "SUMMED": sumsSteps(capabilities) ? 1 : 0,
        ]
        // Workgroups beside each other share what is large: rows of x, unless the matrix outgrows the cache.
        if !inFours { constants["COLUMNS_FIRST"] = chosen?["COLUMNS_FIRST"] ?? (n * k <= 1 << 22 ? 1 : 0) }
        return MatmulTile(rows: rows, columns: 4 * lanes * groups, specialization: constants)
    }

    /// Whether the products of a step are summed before they reach the running sum: with wide vectors it saves a load and a store,
    /// with narrow ones it lengthens the chain of sums.
    static func sumsSteps(_ capabilities: Capabilities) -> Bool {
        capabilities.tuning.sumsSteps ?? (capabilities.subgroupSize >= 16)
    }

    /// Few rows get a tile of about their own size, many are cut evenly into tiles of at most 32. A number of tokens, which
    /// changes from batch to batch, is rounded so that few pipelines are compiled; ranks (`inFours`) are what they are.
    private static func registerRows(_ m: Int, inFours: Bool, atMost largest: Int) -> Int {
        if !inFours { return [1, 2, 4, 8, 16, 32].first { m <= $0 || $0 == largest } ?? largest }
        let tiles = (m + largest - 1) / largest
        return ((m + tiles - 1) / tiles + 3) / 4 * 4
    }

    /// A shared-memory tile: as measured, else square where both sides are long, else as narrow as the short side.
    static func sharedTile(
        m: Int, n: Int, _ capabilities: Capabilities, chosen: Tuning.Constants? = nil
    ) -> MatmulTile {
        let sides = chosen ?? ruledSides(m: m, n: n, capabilities)
        func side(_ name: String) -> Int {
            guard let side = sides[name] else {
                preconditionFailure("a tile of shared memory has no \(name)")
            }
            return Int(side)
        }
        let threads = side("TILE_M") / side("BLOCK_M") * (side("TILE_N") / side("BLOCK_N"))
        precondition(
            threads <= capabilities.maxWorkgroupInvocations, "Vulkan allows at least 128 invocations")
        return MatmulTile(
            rows: side("TILE_M"), columns: side("TILE_N"),
            specialization: sides.merging(["LANES": UInt32(threads)]) { $1 })
    }

    // MARK: Sums shared out over workgroups

    /// Parts of a sum begin at multiples of the longest slab.
    private static let slab = 32
    /// What the parts of one dispatch may take, and how many there may be: more take longer to add up than they save.
    private static let mostPartBytes = 16 << 20
    private static let mostParts = 64

    private static func fittingParts(_ byteCount: Int, _ capabilities: Capabilities) -> Int {
        max(min(min(mostPartBytes, capabilities.maxStorageBufferRange) / byteCount, mostParts), 1)
    }

    /// Workgroups that share out each of the sums that `groups` workgroups would make, so that they fill a GPU. A part of all sums takes
    /// `byteCount`.
    static func parts(
        groups: Int, byteCount: Int, atMost most: Int = .max, _ capabilities: Capabilities
    ) -> Int {
        let filling = (capabilities.fillingWorkgroups + groups - 1) / groups
        return max(min(filling, fittingParts(byteCount, capabilities), most), 1)
    }

    /// By the rule's tile, so that no tile changes a bit.
    private static func parts(m: Int, n: Int, _ capabilities: Capabilities) -> Int {
        let tile = sharedTile(m: m, n: n, capabilities)
        return parts(groups: tile.groups(m, n), byteCount: m * n * 4, capabilities)
    }

    /// Of the sum of a product with shared-memory tiles what one workgroup takes: all of it, where tiles are workgroups enough, else a
    /// multiple of 32, parts of which lie in scratch and are then added in order.
    static func partOfSum(_ product: MatmulProduct, _ capabilities: Capabilities) -> Int {
        let (m, n, k) = (product.m, product.n, product.k)
        let wanted = parts(m: m, n: n, capabilities)
        guard wanted > 1 else { return k }
        let least = slab * fittingParts(m * n * 4, capabilities)
        let slabs = max(k / (wanted * slab), (k + least - 1) / least, 1)
        return min(product.op == .nt ? k : MatmulProduct.accurateSum, slabs * slab, k)
    }

    /// What of a sum over rows of w goes into one dispatch: more than one accurate sum where they are parts of it.
    static func longestSum(_ product: MatmulProduct, _ capabilities: Capabilities) -> Int {
        let (m, n) = (product.m, product.n)
        guard parts(m: m, n: n, capabilities) > 1 else { return MatmulProduct.accurateSum }
        return MatmulProduct.accurateSum * fittingParts(m * n * 4, capabilities)
    }

    private static func ruledSides(m: Int, n: Int, _ capabilities: Capabilities) -> Tuning.Constants {
        // The slabs of a square tile take 18 kB.
        let tileK: UInt32 = capabilities.maxSharedMemory >= 20 << 10 ? 32 : 16
        if n <= 16 { return sharedSides(64, 16, tileK, 4, 4) }
        if m <= 16 { return sharedSides(16, 64, tileK, 4, 4) }
        // Intel's lanes have half the registers of others; Mali, VideoCore and PowerVR keep larger blocks in memory.
        let fewRegisters = [0x8086, 0x13B5, 0x14E4, 0x1010].contains(capabilities.vendorID)
        if !fewRegisters { return sharedSides(64, 64, tileK, 8, 4) }
        let threads = min(capabilities.maxWorkgroupInvocations, capabilities.maxWorkgroupSize)
        return threads >= 256 ? sharedSides(64, 64, tileK, 4, 4) : sharedSides(32, 32, tileK, 4, 4)
    }

    static func sharedSides(
        _ tileM: UInt32, _ tileN: UInt32, _ tileK: UInt32, _ blockM: UInt32, _ blockN: UInt32
    ) -> Tuning.Constants {
        ["TILE_M": tileM, "TILE_N": tileN, "TILE_K": tileK, "BLOCK_M": blockM, "BLOCK_N": blockN]
    }

    /// Products of a frozen weight with fewer rows than this stay off the matrix units, whose smallest tile they would not fill.
    static let matrixUnitRows = 32

    /// Whether a product, or all of it but a last piece of few rows, may run on the matrix units.
    static func onMatrixUnits(
        _ product: MatmulProduct, _ family: Shader.Family, _ capabilities: Capabilities
    ) -> Bool {
        guard case .weight = product.w else { return false }
        return onMatrixUnits(rows: product.m, family, capabilities)
    }

    private static func onMatrixUnits(rows: Int, _ family: Shader.Family, _ capabilities: Capabilities)
        -> Bool
    { family == .shared && capabilities.usesMatrixUnits && rows >= matrixUnitRows }

    /// Four subgroups, or as many as a workgroup holds, share a tile of the matrix units.
    static func cooperativeTile(_ capabilities: Capabilities, chosen: Tuning.Constants? = nil) -> MatmulTile {
        guard let fragment = capabilities.cooperativeMatrix else { preconditionFailure("no matrix units") }
        let lanes = capabilities.subgroupSize
        let most = min(capabilities.maxWorkgroupInvocations, capabilities.maxWorkgroupSize) / lanes
        let waves = most >= 4 ? (m: 2, n: 2) : most >= 2 ? (m: 1, n: 2) : (m: 1, n: 1)
        let ruled: UInt32 = fragment.m * fragment.n >= 128 ? 64 : 32
        let (rows, columns) = (chosen?["TILE_M"] ?? ruled, chosen?["TILE_N"] ?? ruled)
        return MatmulTile(
            rows: Int(rows), columns: Int(columns),
            specialization: [
                "LANES": UInt32(lanes * waves.m * waves.n), "TILE_M": rows, "TILE_N": columns,
                "WAVES_M": UInt32(waves.m), "WAVES_N": UInt32(waves.n), "FRAGMENT_M": UInt32(fragment.m),
                "FRAGMENT_N": UInt32(fragment.n), "FRAGMENT_K": UInt32(fragment.k),
            ])
    }

    /// Of the tiles worth measuring those that are not the rule's for a product of a frozen weight.
    static func alternatives(m: Int, n: Int, k: Int, _ family: Shader.Family, _ capabilities: Capabilities)
        -> [Tuning.Constants]
    {
        let onMatrixUnits = onMatrixUnits(rows: m, family, capabilities)
        func tile(_ chosen: Tuning.Constants?) -> MatmulTile {
            if onMatrixUnits { return cooperativeTile(capabilities, chosen: chosen) }
            return family == .shared
                ? sharedTile(m: m, n: n, capabilities, chosen: chosen)
                : registerTile(m: m, n: n, k: k, inFours: false, capabilities, chosen: chosen)
        }
        return candidates(family, capabilities, onMatrixUnits: onMatrixUnits).filter { tile($0) != tile(nil) }
    }

    /// The tiles worth measuring for products of many rows; only these are taken from a file.
    static func candidates(
        _ family: Shader.Family, _ capabilities: Capabilities, onMatrixUnits: Bool
    ) -> [Tuning.Constants] {
        if onMatrixUnits {
            return [(32, 32), (64, 64), (128, 64), (64, 128), (128, 128)].map {
                ["TILE_M": $0, "TILE_N": $1]
            }
            .filter { cooperativeTile(capabilities, chosen: $0).sums(capabilities) <= 16 }
        }
        guard family == .shared else {
            return [(16, 2), (32, 1), (32, 2), (48, 1), (64, 1)].flatMap { rows, groups in
                [0, 1].map { ["ROWS": rows, "GROUPS": groups, "COLUMNS_FIRST": $0] }
            }
        }
        return [
            sharedSides(32, 32, 32, 4, 4), sharedSides(64, 32, 32, 4, 4), sharedSides(64, 64, 32, 8, 4),
            sharedSides(64, 64, 16, 8, 4), sharedSides(64, 64, 32, 4, 4), sharedSides(64, 64, 16, 4, 4),
            sharedSides(128, 64, 32, 8, 4), sharedSides(128, 64, 32, 8, 8), sharedSides(128, 128, 16, 8, 8),
        ].filter { sides in
            func side(_ name: String) -> Int { Int(sides[name] ?? 1) }
            let threads = side("TILE_M") / side("BLOCK_M") * (side("TILE_N") / side("BLOCK_N"))
            return threads <= capabilities.maxWorkgroupInvocations && threads <= capabilities.maxWorkgroupSize
                && side("TILE_K") * (side("TILE_M") + side("TILE_N") + 8) * 4 <= capabilities.maxSharedMemory
        }
    }

    /// Products of a frozen weight with at most so many rows go to the matrix–vector kernels, which unpack a weight faster
    /// than they multiply; beyond, its rows no longer fit the registers beside each other.
    static let matvecRows = 8

    /// Products of two matrices with at most so many rows and columns (an adapter's, of a token) go there too on GPUs.
    static let fewOutputs = 256

    static func matvecTile(m: Int, n: Int, family: Shader.Family, lanes: Int) -> MatmulTile {
        let rows = [1, 2, 4].first { m <= $0 } ?? matvecRows
        var constants = ["LANES": UInt32(lanes), "ROWS": UInt32(rows)]
        if family == .shared { return MatmulTile(rows: rows, columns: 4, specialization: constants) }
        let groups = rows < 8 && n >= 8 * 8 * lanes ? 2 : 1
        constants["GROUPS"] = UInt32(groups)
        return MatmulTile(rows: rows, columns: 4 * lanes * groups, specialization: constants)
    }
}
