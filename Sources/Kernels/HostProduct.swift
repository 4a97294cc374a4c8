// Products on a CPU device, computed by the host. Mesa's software driver multiplies and adds in two instructions, and copies an element
// into all lanes by up to three; the processor does the first in one and the second while it loads.

import CHostProduct
import VulkanCompute

enum HostProduct {
    private static let instructionSet = host_instruction_sets() - 1
    /// Whether multiply-adds round once.
    static var fuses: Bool { host_set_fuses(instructionSet) }
    static var instructions: String { String(cString: host_set_name(instructionSet)) }
    private static let threads = host_threads()

    /// Fewer rows do not repay unpacking a weight.
    private static let leastRows = 32

    static func takes(rows: Int, flops: Double, _ capabilities: Capabilities) -> Bool {
        guard capabilities.usesHostProducts else { return false }
        return flops >= capabilities.leastHostFlops && (rows >= leastRows || capabilities.leastHostFlops == 0)
    }

    static func run(_ product: host_product) {
        withUnsafePointer(to: product) { host_product_run($0, Int32(instructionSet), threads) }
    }
}

/// The widest instructions that products by the host use.
package var hostInstructions: String { HostProduct.instructions }

extension CommandEncoder {
    func runOnHost(_ product: MatmulProduct, _ label: String) throws(VulkanError) {
        var reads = [product.x.slice] + product.w.slices
        if let plus = product.plus { reads.append(plus.slice) }
        if let lora = product.lora { reads += [lora.h.slice, lora.matrix.slice] }
        let work = isPlanning ? nil : product.onHost
        try host(
            "host_product", reads: reads, writes: [product.y.slice], flops: product.flops, label: label
        ) {
            if let work { HostProduct.run(work) }
        }
    }
}

extension MatmulProduct {
    /// With addresses, which last as long as the buffers.
    fileprivate var onHost: host_product {
        var product = host_product()
        (product.m, product.n, product.k) = (m, n, k)
        product.x = UnsafePointer(x.hostFloats + xColumn)
        (product.x_row, product.x_column) = op == .tn ? (1, x.pitch) : (x.pitch, 1)
        product.w = w.onHost(transposed: op == .nt)
        if let lora {
            product.rank = rank
            product.h = UnsafePointer(lora.h.hostFloats + hColumn)
            product.h_pitch = hPitch
            product.adapter = MatmulMatrix.tensor(lora.matrix).onHost(transposed: op == .nt)
        }
        product.scale = scale
        product.y = y.hostFloats + yColumn
        product.plus = plus.map { UnsafePointer($0.hostFloats + yColumn) }
        product.y_pitch = y.pitch
        return product
    }
}

extension MatmulMatrix {
    fileprivate func onHost(transposed: Bool) -> host_factor {
        var factor = host_factor()
        factor.transposed = transposed
        factor.pitch = pitch
        switch self {
        case .tensor(let tensor):
            factor.type = HOST_MATRIX
            factor.values = UnsafeRawPointer(tensor.hostFloats + tensor.column)
        case .weight(let weight):
            factor.type = weight.layout.type.onHost
            factor.values = UnsafeRawPointer(weight.tiles.onHost)
            factor.scales = weight.scales.map { UnsafeRawPointer($0.onHost) }
        }
        return factor
    }
}

extension Shader.Weight {
    fileprivate var onHost: host_type {
        switch self {
        case .f32: HOST_F32
        case .f16: HOST_F16
        case .bf16: HOST_BF16
        case .q8_0: HOST_Q8_0
        case .q4_0: HOST_Q4_0
        case .q4_1: HOST_Q4_1
        case .q4_k: HOST_Q4_K
        case .q5_k: HOST_Q5_K
        case .q6_k: HOST_Q6_K
        case .mxfp4: preconditionFailure("experts' products have kernels of their own")
        }
    }
}

extension Tensor {
    fileprivate var hostFloats: UnsafeMutablePointer<Float> {
        slice.onHost.assumingMemoryBound(to: Float.self)
    }
}

extension BufferSlice {
    fileprivate var onHost: UnsafeMutableRawPointer {
        guard let mapped = cachedMapping else {
            preconditionFailure("'\(buffer.label)' does not lie in the host's memory")
        }
        return mapped
    }
}
