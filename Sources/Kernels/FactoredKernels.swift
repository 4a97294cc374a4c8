// Adafactor over one matrix: a row or a column a workgroup. The matrix and its averages each lie in one binding.

import VulkanCompute

/// A matrix in memory: numbers of a row lie side by side. A vector is a column, `pitch` 1.
package struct MatrixLayout: Sendable {
    package var rows: Int
    package var columns: Int
    /// From one row to the next.
    package var pitch: Int

    package init(rows: Int, columns: Int, pitch: Int) {
        (self.rows, self.columns, self.pitch) = (rows, columns, pitch)
    }
}

/// What Adafactor keeps of a matrix, and its working memory.
package struct FactoredAverages {
    package let rows: Tensor  // mean squares of the rows (R)
    package let columns: Tensor  // (C)
    package let sums: Tensor  // (R)
    package let scale: Tensor  // (1)

    package init(rows: Tensor, columns: Tensor, sums: Tensor, scale: Tensor) {
        (self.rows, self.columns, self.sums, self.scale) = (rows, columns, sums, scale)
    }
}

extension CommandEncoder {
    private var reducing: Shader.Family { family == .shared ? .shared : .subgroup }

    private func rates(_ rates: Tensor?) -> (axis: Shader.Rates, slices: [BufferSlice]) {
        (rates == nil ? .one : .each, rates.map { [$0.slice] } ?? [])
    }

    /// Moves the averages of rows and columns on by the gradient.
    package func factoredMoments(
        _ averages: FactoredAverages, _ layout: MatrixLayout, gradients: Tensor, rates: Tensor?,
        state: BufferSlice, result: BufferSlice, label: String
    ) throws(VulkanError) {
        let (axis, more) = self.rates(rates)
        for (values, count, stride, pitch, groups) in [
            (averages.rows, layout.columns, 1, layout.pitch, layout.rows),
            (averages.columns, layout.rows, layout.pitch, 1, layout.columns),
        ] {
            try dispatch(
                Shader.adafactorMoments(family: reducing, rates: axis),
                [values.slice, gradients.slice, state, result] + more, push: [count, stride, pitch],
                specialization: rowLanes, groups: groups, label: label)
        }
    }

    /// How large the update of the gradient by the averages is, row by row.
    package func factoredSums(
        _ averages: FactoredAverages, _ layout: MatrixLayout, gradients: Tensor, rates: Tensor?,
        result: BufferSlice, label: String
    ) throws(VulkanError) {
        let (axis, more) = self.rates(rates)
        try dispatch(
            Shader.adafactorSums(family: reducing, rates: axis),
            [averages.sums, averages.rows, averages.columns, gradients].map(\.slice) + [result] + more,
            push: [layout.columns, layout.pitch], specialization: rowLanes, groups: layout.rows, label: label)
    }

    /// What the update is multiplied by.
    package func factoredScale(
        _ averages: FactoredAverages, _ layout: MatrixLayout, state: BufferSlice, result: BufferSlice,
        label: String
    ) throws(VulkanError) {
        try dispatch(
            Shader.adafactorScale(family: reducing),
            [averages.scale, averages.rows, averages.sums].map(\.slice) + [state, result],
            push: [layout.rows, layout.columns], specialization: rowLanes, groups: 1, label: label)
    }

    package func factoredUpdate(
        _ parameters: Tensor, _ averages: FactoredAverages, _ layout: MatrixLayout, gradients: Tensor,
        rates: Tensor?, state: BufferSlice, result: BufferSlice, label: String
    ) throws(VulkanError) {
        let (axis, more) = self.rates(rates)
        try dispatch(
            Shader.adafactor(family: reducing, rates: axis),
            [parameters, averages.rows, averages.columns, averages.scale, gradients].map(\.slice)
                + [state, result] + more,
            push: [layout.columns, layout.pitch], specialization: rowLanes, groups: layout.rows, label: label)
    }
}
