// Chooses kernels by measuring them on the device: first the family (with matrix units, where they are right) and the order of sums,
// over all products together, then a tile
// for each product. Runs of those that are compared alternate, and a rule's choice goes only for one that is clearly faster.

import VulkanCompute

/// A product of a frozen weight with many rows: x·Wᵀ (.nt) or dy·W (.nn). Only the weight's layout matters.
package struct TunedProduct: Sendable {
    package let op: Shader.Op
    package let layout: WeightLayout
    package let rows: Int

    package init(_ op: Shader.Op, _ layout: WeightLayout, rows: Int) {
        (self.op, self.layout, self.rows) = (op, layout, rows)
    }

    package var flops: Double { 2 * Double(rows) * Double(layout.rows) * Double(layout.columns) }
    package var name: String { MatmulProduct.tuningName(op, layout, rows: rows) }

    /// The tiles worth measuring, of which none is the rule's.
    package func alternatives(_ capabilities: Capabilities, family: Shader.Family) -> [Tuning.Constants] {
        if HostProduct.takes(rows: rows, flops: flops, capabilities) { return [] }
        return KernelSelection.alternatives(
            m: rows, n: op == .nt ? layout.rows : layout.columns, k: op == .nt ? layout.columns : layout.rows,
            family, capabilities)
    }

    fileprivate struct Operands {
        let y: Tensor
        let x: Tensor
        let weight: Weight
    }

    /// All zeros, which take as long as other numbers; wide rows lie apart, as those of the MLP and the logits do.
    fileprivate func operands(_ device: Device) throws(VulkanError) -> Operands {
        let (output, input) = op == .nt ? (layout.rows, layout.columns) : (layout.columns, layout.rows)
        let weight = try device.makeWeight(layout, label: "weight")
        for slice in [weight.tiles] + (weight.scales.map { [$0] } ?? []) {
            try device.upload([UInt8](repeating: 0, count: slice.byteCount), into: slice)
        }
        func tensor(_ width: Int) throws(VulkanError) -> Tensor {
            let pitch = width > 1024 ? Tensor.spreadPitch(width) : width
            let buffer = try device.makeBuffer(byteCount: rows * pitch * 4, label: "operand")
            try device.upload([Float](repeating: 0, count: rows * pitch), into: buffer.slice())
            return Tensor(buffer.slice(), shape: [rows, width], pitch: pitch)
        }
        return Operands(y: try tensor(output), x: try tensor(input), weight: weight)
    }

    fileprivate func record(_ encoder: CommandEncoder, _ operands: Operands) throws(VulkanError) {
        if op == .nt {
            try encoder.matmul(into: operands.y, operands.x, weight: operands.weight)
        } else {
            try encoder.matmulBackward(into: operands.y, operands.x, weight: operands.weight)
        }
    }
}

package struct Tuner {
    /// Of what the rule takes: less than that is not told from noise.
    private static let clearly = 0.97
    private static let rounds = 4
    private static let secondsPerRun = 0.01

    package struct Finding: Sendable {
        package let name: String
        /// Operations a second of the rule's kernel and of the fastest.
        package let ruled: Double
        package let best: Double
        /// nil where the rule stays.
        package let tile: Tuning.Constants?
    }

    private let device: Device
    private let products: [TunedProduct]
    private let triesMatrixUnits: Bool

    package init(_ device: Device, _ products: [TunedProduct], matrixUnits: Bool = true) {
        (self.device, self.products, triesMatrixUnits) = (device, products, matrixUnits)
    }

    /// With those products alone that were never measured on the device.
    package var unknown: Tuner {
        let known = device.capabilities.tuning.tiles
        return Tuner(device, products.filter { known[$0.name] == nil }, matrixUnits: triesMatrixUnits)
    }

    package var isEmpty: Bool { products.isEmpty }

    /// All that is known of the device then: what was measured for other models stays, unless another family is chosen. nil where
    /// `onFinding` gave up.
    package func run(onFinding: (Finding) -> Bool = { _ in true }) throws(VulkanError) -> Tuning? {
        let known = device.capabilities.tuning
        var tuning = try chooseFamily()
        if (tuning.family, tuning.sumsSteps) == (known.family, known.sumsSteps) { tuning.tiles = known.tiles }
        for product in products {
            var capabilities = device.capabilities
            capabilities.tuning = tuning
            let tiles = [Tuning.ruled] + product.alternatives(capabilities, family: capabilities.family)
            let tunings = tiles.map { tile in
                var changed = tuning
                changed.tiles[product.name] = tile
                return changed
            }
            let seconds = try measure(product, tunings)
            let best = fastest(seconds)
            tuning.tiles[product.name] = tiles[best]
            let goesOn = onFinding(
                Finding(
                    name: product.name, ruled: product.flops / seconds[0],
                    best: product.flops / seconds[best],
                    tile: best > 0 ? tiles[best] : nil))
            if !goesOn { return nil }
        }
        return tuning
    }

    /// The one that was chosen for other models, or the rule's, unless another is clearly faster. Names family and sums in any case, so
    /// that a device is known to be measured.
    private func chooseFamily() throws(VulkanError) -> Tuning {
        var capabilities = device.capabilities
        var onMatrixUnits = Tuning()
        onMatrixUnits.family = Capabilities.matrixUnits
        var triesMatrixUnits = triesMatrixUnits
        if triesMatrixUnits { triesMatrixUnits = try device.matrixUnitsAreRight() }
        let keepsMatrixUnits = triesMatrixUnits && capabilities.tuning.family == Capabilities.matrixUnits
        if !keepsMatrixUnits, capabilities.tuning.family == Capabilities.matrixUnits {
            capabilities.tuning = Tuning()
        }
        let (ruled, sums) = (capabilities.familyName, KernelSelection.sumsSteps(capabilities))
        var tunings = [keepsMatrixUnits ? onMatrixUnits : tuning(ruled, sumsSteps: sums)]
        let measured = products.prefix(4)
        let hostTakes = measured.contains {
            HostProduct.takes(rows: $0.rows, flops: $0.flops, capabilities)
        }
        // Products that the host leaves to the device say nothing of whether it is to have the large ones.
        let names = capabilities.familyNames.filter {
            $0 != Capabilities.matrixUnits
                && (hostTakes || !capabilities.usesHostProducts || $0 == Capabilities.hostProducts)
        }
        for family in names {
            let hasSums =
                family != Shader.Family.shared.rawValue
                && !(hostTakes && family == Capabilities.hostProducts)
            for sumsSteps in hasSums ? [false, true] : [sums]
            where keepsMatrixUnits || family != ruled || sumsSteps != sums {
                tunings.append(tuning(family, sumsSteps: sumsSteps))
            }
        }
        if triesMatrixUnits, !keepsMatrixUnits { tunings.append(onMatrixUnits) }
        var total = [Double](repeating: 0, count: tunings.count)
        for product in measured {
            for (index, seconds) in try measure(product, tunings).enumerated() { total[index] += seconds }
        }
        return tunings[fastest(total)]
    }

    private func tuning(_ family: String, sumsSteps: Bool) -> Tuning {
        var tuning = Tuning()
        (tuning.family, tuning.sumsSteps) = (family, sumsSteps)
        return tuning
    }

    /// Operations a second of one product by the rules.
    package static func rate(_ device: Device) throws(VulkanError) -> Double {
        let product = TunedProduct(.nt, WeightLayout(.f32, rows: 1536, columns: 576), rows: 256)
        return product.flops / (try Tuner(device, [product]).measure(product, [Tuning()])[0])
    }

    /// The first, which is the rule's, unless another is clearly faster.
    private func fastest(_ seconds: [Double]) -> Int {
        let best = seconds.indices.min { seconds[$0] < seconds[$1] } ?? 0
        return seconds[best] < seconds[0] * Self.clearly ? best : 0
    }

    /// Seconds of the product by each of the tunings, the best of a few runs that alternate.
    private func measure(_ product: TunedProduct, _ tunings: [Tuning]) throws(VulkanError) -> [Double] {
        let operands = try product.operands(device)
        var runs: [(graph: CommandGraph, count: Int)?] = []
        for (index, tuning) in tunings.enumerated() {
            func record(_ count: Int) throws(VulkanError) -> CommandGraph {
                let encoder = try CommandEncoder(device)
                encoder.tuning = tuning
                for _ in 0..<count { try product.record(encoder, operands) }
                return try encoder.finish()
            }
            do throws(VulkanError) {
                let once = try record(1)
                _ = try seconds(once)
                let count = max(1, min(100, Int(Self.secondsPerRun / max(1e-6, try seconds(once)))))
                runs.append((try record(count), count))
            } catch {
                // What a driver fails with is no choice; the rule's kernel must run.
                if index == 0 || error.kind == .deviceLost { throw error }
                runs.append(nil)
            }
        }
        var best = [Double](repeating: .infinity, count: runs.count)
        for _ in 0..<Self.rounds {
            for (index, run) in runs.enumerated() {
                guard let run else { continue }
                best[index] = min(best[index], try seconds(run.graph) / Double(run.count))
            }
        }
        return best
    }

    private func seconds(_ graph: CommandGraph) throws(VulkanError) -> Double {
        let start = ContinuousClock.now
        try graph.run()
        return (ContinuousClock.now - start) / .seconds(1)
    }
}

extension MatmulProduct {
    /// Rows are told apart by their power of two: tokens change from batch to batch.
    static func tuningName(_ op: Shader.Op, _ layout: WeightLayout, rows: Int) -> String {
        var power = 16
        while power < rows, power < 1024 { power *= 2 }
        return "\(op) \(layout.type) \(power)x\(layout.rows)x\(layout.columns)"
    }
}

extension CommandEncoder {
    /// The tile that measuring chose for a product of a frozen weight with many rows.
    func chosenTile(_ product: MatmulProduct, _ family: Shader.Family, onMatrixUnits: Bool)
        -> Tuning.Constants?
    {
        guard !tuning.tiles.isEmpty, case .weight(let weight) = product.w,
            let tile = tuning.tiles[MatmulProduct.tuningName(product.op, weight.layout, rows: product.m)],
            KernelSelection.candidates(family, capabilities, onMatrixUnits: onMatrixUnits).contains(tile)
        else { return nil }
        return tile
    }
}
