// How attention's kernels share out their rows over lanes and workgroups.

import VulkanCompute

/// What a workgroup takes of one attention kernel.
struct AttentionTile {
    enum Kernel {
        case forward, decode, backwardQ, backwardKV
    }

    /// Rows of queries, or keys, that a workgroup owns.
    let workgroupRows: Int
    /// Rows of the other side that it takes at a time.
    var tripRows: Int { workgroupRows * Int(constants["TILE_ROWS"] ?? 1) }
    let constants: [String: UInt32]

    init(_ kernel: Kernel, headSize: Int, _ family: Shader.Family, _ capabilities: Capabilities) {
        switch (family, kernel) {
        case (.shared, _): self.init(teams: kernel, headSize, capabilities)
        case (_, .decode):
            self.init(workgroupRows: 1, constants: ["LANES": UInt32(capabilities.lanes(family))])
        case (_, .forward):
            self.init(
                headSize, rowsPerLane: headSize <= 128 ? 2 : 1, products: 384, capabilities.lanes(family))
        case (_, .backwardQ), (_, .backwardKV):
            self.init(
                headSize, rowsPerLane: headSize <= 64 ? 2 : 1, products: 256, capabilities.lanes(family))
        }
    }

    func workgroups(rows: Int) -> Int { (rows + workgroupRows - 1) / workgroupRows }

    private init(workgroupRows: Int, constants: [String: UInt32]) {
        (self.workgroupRows, self.constants) = (workgroupRows, constants)
    }

    /// A lane owns whole rows. Everything is unrolled, so what a tile multiplies sets the size of the code: beyond so many
    /// products a CPU's instruction cache overflows, and a software rasteriser compiles for seconds.
    private init(_ headSize: Int, rowsPerLane: Int, products: Int, _ lanes: Int) {
        let rows = min(max(products / (rowsPerLane * headSize), 1), lanes)
        self.init(
            workgroupRows: lanes * rowsPerLane,
            constants: [
                "LANES": UInt32(lanes), "ROWS_PER_LANE": UInt32(rowsPerLane), "TILE_ROWS": UInt32(rows),
            ])
    }

    /// Lanes share a row: what one holds of its rows stays in its registers, whatever the size of a head. The numbers are
    /// the largest that drivers' compilers made no spills of; a lane of Intel's has half the registers of others.
    private init(teams kernel: Kernel, _ headSize: Int, _ capabilities: Capabilities) {
        let lanes = 128  // as many as Vulkan promises
        let isIntel = capabilities.vendorID == 0x8086
        let quads = kernel == .forward && !isIntel ? 4 : 2
        let rowsPerLane = kernel == .decode || kernel == .backwardKV && isIntel ? 1 : 2
        let rowLanes = [4, 8, 16, 32].first { $0 * quads * 4 >= headSize } ?? 64
        let kinds = kernel == .backwardQ || kernel == .backwardKV ? 2 : 1
        func sharedMemory(_ rows: Int) -> Int {
            let pairs = rows * rowsPerLane
            return 2 * rows * rowLanes * quads * 16 + kinds * pairs * (lanes + 4 + lanes / rowLanes) * 4
        }
        let fitting = [4, 2].first { sharedMemory($0) <= capabilities.maxSharedMemory } ?? 1
        self.init(
            workgroupRows: lanes / rowLanes * rowsPerLane,
            constants: [
                "LANES": UInt32(lanes), "ROW_LANES": UInt32(rowLanes), "ROWS_PER_LANE": UInt32(rowsPerLane),
                "TILE_ROWS": UInt32(kernel == .decode ? 8 : fitting),
            ])
    }
}
