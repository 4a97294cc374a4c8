// Muon: the momentum of a matrix made orthogonal, p −= lr·s·UVᵀ. Five steps of Newton–Schulz, X ← (a·1 + b·G + c·G²)·X with
// G = X·Xᵀ on the shorter side, bring every singular value near 1. A vector takes AdamW. s = rms·√max(rows, columns) gives updates
// of AdamW's size, so that its rates serve; with rms=0 it is √max(1, rows/columns), as the authors have it.
// Keller Jordan et al. 2024, Muon; Liu et al. 2025, Muon is Scalable for LLM Training; torch.optim.Muon.

import Kernels
import VulkanCompute

package struct Muon: Optimizer {
    package let name = "muon"
    package let summary = "momentum made orthogonal, adamw for vectors; Jordan et al. 2024"
    package var options =
        [
            NumberOption("momentum", 0.95, in: 0...0.999_999, "how much of the last step goes on"),
            NumberOption("nesterov", 1, in: 0...1, "0: do not look one step ahead"),
            NumberOption("rms", 0.2, in: 0...10, "the size of an update; 0: as its shape says"),
        ] + AdamW.moments

    private static let momentum = OptimizerState("momentum_buffer")
    private static let adam = [
        OptimizerState(AdamW.mean), OptimizerState(AdamW.square, isSquare: true),
    ]
    // Working memory.
    private static let x = OptimizerState("x", isSaved: false)
    private static let y = OptimizerState("y", isSaved: false)

    private static func square(_ name: String, _ shape: ParameterShape) -> OptimizerState {
        let side = min(shape.storedRows, shape.storedColumns)
        return OptimizerState(name, .numbers([side, side]), isSaved: false)
    }

    private static let coefficients: (a: Float, b: Float, c: Float) = (3.4445, -4.7750, 2.0315)
    private static let iterations = 5

    package func states(of shape: ParameterShape) -> [OptimizerState] {
        guard shape.isMatrix else { return Self.adam }
        return [Self.momentum, Self.x, Self.y, Self.square("gram", shape), Self.square("polynomial", shape)]
    }

    package func settings(step: Int) -> [Float] {
        let momentum = option("momentum")
        return StepState.adamW(
            beta1: option("beta1"), beta2: option("beta2"), epsilon: option("epsilon"), step: step)
            + [momentum, 1 - momentum, option("nesterov")].map(Float.init)
    }

    private struct Matrix {
        let parameter: AdapterParameter
        let momentum, gram, polynomial: Tensor
        var x, y: Tensor

        init(_ parameter: AdapterParameter, _ memory: OptimizerMemory) {
            self.parameter = parameter
            momentum = memory.part(Muon.momentum, of: parameter)
            (x, y) = (memory.part(Muon.x, of: parameter), memory.part(Muon.y, of: parameter))
            gram = memory.part(Muon.square("gram", parameter.shape), of: parameter)
            polynomial = memory.part(Muon.square("polynomial", parameter.shape), of: parameter)
        }

        mutating func turn() { (x, y) = (y, x) }

        /// Its rows are the shorter side.
        var isWide: Bool { x.rows <= x.width }
    }

    /// Stage by stage, so that the matrices of a stage run beside each other.
    package func record(
        _ encoder: CommandEncoder, _ memory: OptimizerMemory, state: BufferSlice, result: BufferSlice
    ) throws(VulkanError) {
        var matrices = memory.parameters.filter(\.shape.isMatrix).map { Matrix($0, memory) }
        for matrix in matrices {
            try encoder.muonMomentum(
                matrix.momentum, into: matrix.x, gradients: matrix.parameter.gradient,
                rates: memory.rates(of: matrix.parameter), state: state, result: result, label: name)
        }
        if !matrices.isEmpty { try orthogonalize(&matrices, encoder, memory) }
        for matrix in matrices {
            try encoder.muon(
                updating: matrix.parameter.value, by: matrix.x, scale: scale(matrix.parameter.shape),
                rates: memory.rates(of: matrix.parameter), state: state, result: result, label: name)
        }
        for parameter in memory.parameters where !parameter.shape.isMatrix {
            try encoder.adamW(
                updating: parameter.value, m: memory.part(Self.adam[0], of: parameter),
                v: memory.part(Self.adam[1], of: parameter), gradients: parameter.gradient,
                rates: memory.rates(of: parameter), state: state, result: result, label: name)
        }
    }

    private func scale(_ shape: ParameterShape) -> Float {
        let (rows, columns) = (Double(shape.rows), Double(shape.columns))
        let size = option("rms")
        return Float(
            size > 0 ? size * max(rows, columns).squareRoot() : max(1, rows / columns).squareRoot())
    }

    private func orthogonalize(
        _ matrices: inout [Matrix], _ encoder: CommandEncoder, _ memory: OptimizerMemory
    ) throws(VulkanError) {
        let (a, b, c) = Self.coefficients
        func grams() throws(VulkanError) {
            for matrix in matrices {
                try encoder.matmul(
                    matrix.isWide ? .nt : .tn, into: matrix.gram, matrix.x, matrix.x, label: name)
            }
        }
        try grams()
        for matrix in matrices { try encoder.muonUnit(matrix.x, gram: matrix.gram, label: name) }
        var (x, y) = (memory.all(Self.x.name), memory.all(Self.y.name))
        for _ in 0..<Self.iterations {
            try grams()
            for matrix in matrices {
                try encoder.matmul(
                    .nn, into: matrix.polynomial, matrix.gram, matrix.gram, scale: c, label: name)
            }
            try encoder.add(
                memory.all("gram"), scaledBy: b, addingTo: memory.all("polynomial"), label: name)
            for matrix in matrices {
                let (left, right) =
                    matrix.isWide ? (matrix.polynomial, matrix.x) : (matrix.x, matrix.polynomial)
                try encoder.matmul(.nn, into: matrix.y, left, right, label: name)
            }
            try encoder.add(x, scaledBy: a, addingTo: y, label: name)
            swap(&x, &y)
            for index in matrices.indices { matrices[index].turn() }
        }
    }
}
