// Which matmul kernel and which tile for a shape: a plain function of the device and the shape. A loop of the register
// kernels holds about ROWS · GROUPS · STEPS · 8 vector instructions, best near 512: more leaves the instruction cache.

import VulkanCompute

/// One kernel with its tile: what is computed by one workgroup, and the constants that say so.
struct MatmulTile: Equatable {
    var rows: Int
    var columns: Int
    var specialization: [String: UInt32]

    /// Workgroups for an (m, n) product.
    func groups(_ m: Int, _ n: Int) -> Int { (m + rows - 1) / rows * ((n + columns - 1) / columns) }
}

enum KernelSelection {
    /// A register tile for an (m, n) product whose m rows are the operand that is broadcast; `inFours` where rows are read
    /// or stored by four.
    static func registerTile(m: Int, n: Int, lanes: Int, inFours: Bool) -> MatmulTile {
        let rows = registerRows(m, inFours: inFours, atMost: lanes >= 16 ? 64 : 32)
        // Two runs of columns a lane use each broadcast twice, if that leaves enough workgroups to share out.
        let wide = (m + rows - 1) / rows * (n / (8 * lanes))
        let groups = lanes <= 8 && rows >= 8 && wide >= 8 ? 2 : 1
        let steps = rows < 8 ? 4 : 1
        return MatmulTile(
            rows: rows, columns: 4 * lanes * groups,
            specialization: [
                "LANES": UInt32(lanes), "ROWS": UInt32(rows), "GROUPS": UInt32(groups),
                "STEPS": UInt32(steps), "SUMMED": sumsSteps(lanes: lanes) ? 1 : 0,
            ])
    }

    /// Whether the products of a step are summed before they reach the running sum: with wide vectors it saves a load and a store,
    /// with narrow ones it lengthens the chain of sums.
    static func sumsSteps(lanes: Int) -> Bool { lanes >= 16 }

    /// Few rows get a tile of about their own size, many are cut evenly into tiles of at most 32. A number of tokens, which
    /// changes from batch to batch, is rounded so that few pipelines are compiled; ranks (`inFours`) are what they are.
    private static func registerRows(_ m: Int, inFours: Bool, atMost largest: Int) -> Int {
        if !inFours { return [1, 2, 4, 8, 16, 32].first { m <= $0 || $0 == largest } ?? largest }
        let tiles = (m + largest - 1) / largest
        return ((m + tiles - 1) / tiles + 3) / 4 * 4
    }

    /// A shared-memory tile: square where both sides are long, else as narrow as the short side.
    static func sharedTile(m: Int, n: Int, capabilities: Capabilities) -> MatmulTile {
        let (tileM, tileN, blockM, blockN) =
            n <= 16 ? (128, 16, 8, 2) : m <= 16 ? (16, 128, 2, 8) : (64, 64, 8, 4)
        let threads = tileM / blockM * (tileN / blockN)
        precondition(
            threads <= capabilities.maxWorkgroupInvocations, "Vulkan allows at least 128 invocations")
        return MatmulTile(
            rows: tileM, columns: tileN,
            specialization: [
                "LANES": UInt32(threads), "TILE_M": UInt32(tileM), "TILE_N": UInt32(tileN),
                "BLOCK_M": UInt32(blockM),
                "BLOCK_N": UInt32(blockN),
            ])
    }

    /// Products of a frozen weight with at most so many rows go to the matrix–vector kernels, which unpack a weight faster
    /// than they multiply; beyond, its rows no longer fit the registers beside each other.
    static let matvecRows = 8

    static func matvecTile(m: Int, n: Int, family: Shader.Family, lanes: Int) -> MatmulTile {
        let rows = [1, 2, 4].first { m <= $0 } ?? matvecRows
        var constants = ["LANES": UInt32(lanes), "ROWS": UInt32(rows)]
        if family == .shared { return MatmulTile(rows: rows, columns: 4, specialization: constants) }
        let groups = rows < 8 && n >= 8 * 8 * lanes ? 2 : 1
        constants["GROUPS"] = UInt32(groups)
        return MatmulTile(rows: rows, columns: 4 * lanes * groups, specialization: constants)
    }
}
