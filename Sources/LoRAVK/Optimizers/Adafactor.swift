// Adafactor with a given learning rate: v ≈ r·cᵀ/mean(r), of the mean squares of a gradient's rows r and columns c; p −= lr·u,
// u = g/√v, and less where the root of u's mean square is above a limit. It keeps R + C numbers of a matrix. A vector is a matrix of
// one column, of which this is exact. Shazeer & Stern 2018; as Hugging Face's Adafactor(scale_parameter=False, relative_step=False).

import Kernels
import VulkanCompute

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

package struct Adafactor: Optimizer {
    package let name = "adafactor"
    package let summary = "averages of squares of rows and columns only; Shazeer & Stern 2018"
    package var options = [
        NumberOption("decay", 0.8, in: 0.01...2, "averages keep 1 − step^−decay of themselves"),
        NumberOption("limit", 1, in: 1e-3...1e6, "of the root of an update's mean square"),
        NumberOption("epsilon", 1e-30, in: 1e-36...1, "added to the squares"),
    ]

    private struct States {
        let rows, columns, sums, scale: OptimizerState

        init(_ layout: MatrixLayout) {
            rows = OptimizerState("exp_avg_sq_row", .numbers([layout.rows]), isSquare: true)
            columns = OptimizerState("exp_avg_sq_col", .numbers([layout.columns]), isSquare: true)
            sums = OptimizerState("sums", .numbers([layout.rows]), isSaved: false)
            scale = OptimizerState("scale", .numbers([1]), isSaved: false)
        }
    }

    private func layout(_ shape: ParameterShape) -> MatrixLayout {
        shape.isMatrix
            ? MatrixLayout(rows: shape.rows, columns: shape.columns, pitch: shape.storedColumns)
            : MatrixLayout(rows: shape.count, columns: 1, pitch: 1)
    }

    package func states(of shape: ParameterShape) -> [OptimizerState] {
        let states = States(layout(shape))
        return [states.rows, states.columns, states.sums, states.scale]
    }

    package func settings(step: Int) -> [Float] {
        let kept = 1 - pow(Double(step), -option("decay"))
        return [kept, 1 - kept, option("epsilon"), option("limit")].map(Float.init)
    }

    package func validate(_ shapes: [ParameterShape], _ capabilities: Capabilities) throws(ConfigError) {
        for shape in shapes where shape.storedCount * 4 > capabilities.maxStorageBufferRange {
            throw ConfigError(
                "\(name) reads a matrix at once: one of \(shape.rows) x \(shape.columns) takes \(shape.storedCount * 4) "
                    + "bytes, and this device binds \(capabilities.maxStorageBufferRange); use another optimizer"
            )
        }
    }

    package func record(
        _ encoder: CommandEncoder, _ memory: OptimizerMemory, state: BufferSlice, result: BufferSlice
    ) throws(VulkanError) {
        let parts = memory.parameters.map { parameter in
            let layout = layout(parameter.shape)
            let states = States(layout)
            func part(_ state: OptimizerState) -> Tensor { memory.part(state, of: parameter) }
            return (
                parameter, layout, memory.rates(of: parameter),
                FactoredAverages(
                    rows: part(states.rows), columns: part(states.columns), sums: part(states.sums),
                    scale: part(states.scale))
            )
        }
        // Stage by stage, so that the matrices of a stage run beside each other.
        for (parameter, layout, rates, averages) in parts {
            try encoder.factoredMoments(
                averages, layout, gradients: parameter.gradient, rates: rates, state: state, result: result,
                label: name)
        }
        for (parameter, layout, rates, averages) in parts {
            try encoder.factoredSums(
                averages, layout, gradients: parameter.gradient, rates: rates, result: result, label: name)
        }
        for (_, layout, _, averages) in parts {
            try encoder.factoredScale(averages, layout, state: state, result: result, label: name)
        }
        for (parameter, layout, rates, averages) in parts {
            try encoder.factoredUpdate(
                parameter.value, averages, layout, gradients: parameter.gradient, rates: rates, state: state,
                result: result, label: name)
        }
    }
}
