// What adapter methods need beyond matrix products: factors of columns and of rows.

import VulkanCompute

extension CommandEncoder {
    /// A running sum of f32 keeps its digits over so many rows.
    private static let rowsAtOnce = 2048

    /// y (N, C) = x ⊙ v, v (C)
    package func scaleColumns(
        into y: Tensor, _ x: Tensor, by v: Tensor, label: String = "scaleColumns"
    ) throws(VulkanError) {
        try scaleColumns(.into, y, x, v, label)
    }

    /// y (N, C) += x ⊙ v
    package func scaleColumns(
        addingTo y: Tensor, _ x: Tensor, by v: Tensor, label: String = "scaleColumns"
    ) throws(VulkanError) {
        try scaleColumns(.adding, y, x, v, label)
    }

    private func scaleColumns(
        _ destination: Shader.Destination, _ y: Tensor, _ x: Tensor, _ v: Tensor, _ label: String
    ) throws(VulkanError) {
        let width = y.width
        let inFours = [width, y.pitch, x.pitch].allSatisfy { $0 % 4 == 0 }
        precondition(
            inFours && v.count == width && x.width == width && x.rows == y.rows,
            "\(label): \(x.shape), by \(v.shape), into \(y.shape)")
        let stripe = stripe
        for span in capabilities.spans(
            of: y.rows, rowByteCounts: [y.pitch * 4, x.pitch * 4], family: family)
        {
            let count = span.count * width / 4
            let old = destination == .adding ? [y.rows(span).slice] : []
            try dispatch(
                Shader.scaleColumns(family: family == .texel ? .texel : .shared, destination: destination),
                [y.rows(span).slice, x.rows(span).slice, v.slice] + old,
                push: [count, width / 4, y.pitch / 4, x.pitch / 4],
                specialization: stripe.constants, groups: stripe.groups(count), label: label)
        }
    }

    /// out (C) += v ⊙ Σ over the rows of a ⊙ b; a, b (N, C), v (C)
    package func columnDots(
        addingTo out: Tensor, _ a: Tensor, _ b: Tensor, by v: Tensor, label: String = "columnDots"
    ) throws(VulkanError) {
        let width = out.count
        precondition(
            [width, a.pitch, b.pitch].allSatisfy { $0 % 4 == 0 } && a.width == width && b.width == width
                && a.rows == b.rows && v.count == width,
            "\(label): \(a.shape) and \(b.shape), by \(v.shape), into \(out.shape)")
        let lanes = capabilities.lanes(family)
        for span in capabilities.spans(
            of: a.rows, rowByteCounts: [a.pitch * 4, b.pitch * 4], family: family, multiple: 4)
        {
            for start in stride(from: span.lowerBound, to: span.upperBound, by: Self.rowsAtOnce) {
                let rows = start..<min(start + Self.rowsAtOnce, span.upperBound)
                try dispatch(
                    Shader.columnDots(family: family == .texel ? .texel : .shared),
                    [out.slice, a.rows(rows).slice, b.rows(rows).slice, v.slice, out.slice],
                    push: [width / 4, rows.count, a.pitch / 4, b.pitch / 4],
                    specialization: ["LANES": UInt32(lanes), "VECTORS": 1],
                    groups: (width / 4 + lanes - 1) / lanes, label: label)
            }
        }
    }

    /// DoRA's factors of the rows of W + s·B·A: `scale` (O) = m/n and `inverse` (O) = 1/n, n² = `squares` + s·B·u by rows;
    /// `loraB`, `u` (O, R).
    package func doraScale(
        into scale: Tensor, inverse: Tensor, magnitude: Tensor, squares: Tensor, loraB: Tensor, u: Tensor,
        scaling: Float, label: String = "doraScale"
    ) throws(VulkanError) {
        precondition(
            [scale, inverse, magnitude, squares].allSatisfy { $0.count == loraB.rows }
                && u.shape == loraB.shape && u.width % 4 == 0,
            "\(label): \(scale.shape) for \(loraB.shape) and \(u.shape)")
        try rowALane(loraB.rows, width: loraB.width, label) { family, span in
            (
                Shader.doraScale(family: family),
                [scale, inverse, magnitude, squares, loraB.rows(span), u.rows(span)].map(\.slice),
                [loraB.width / 4, span.lowerBound, scaling]
            )
        }
    }

    /// VeRA's diag(b)·B·diag(d), (O, R) as B is; `b` (O), `d` (R).
    package func veraScale(
        into scaled: Tensor, _ matrixB: Tensor, b: Tensor, d: Tensor, label: String = "veraScale"
    ) throws(VulkanError) {
        checkVeRA(scaled, matrixB, b, d, label)
        try rowALane(matrixB.rows, width: matrixB.width, label) { family, span in
            (
                Shader.veraScale(family: family),
                [scaled.rows(span), matrixB.rows(span), d, b].map(\.slice),
                [matrixB.width / 4, span.lowerBound]
            )
        }
    }

    /// From `gradient` (O, R), that of diag(b)·B·diag(d): adds b's to `db` (O), and leaves diag(b)·`gradient`.
    package func veraGradient(
        addingTo db: Tensor, scaling gradient: Tensor, _ matrixB: Tensor, b: Tensor, d: Tensor,
        label: String = "veraGradient"
    ) throws(VulkanError) {
        checkVeRA(gradient, matrixB, b, d, label)
        precondition(db.count == b.count, "\(label): \(db.shape) for \(b.shape)")
        try rowALane(matrixB.rows, width: matrixB.width, label) { family, span in
            let rows = gradient.rows(span)
            return (
                Shader.veraGradient(family: family),
                [db, rows, rows, matrixB.rows(span), d, b].map(\.slice),
                [matrixB.width / 4, span.lowerBound]
            )
        }
    }

    private func checkVeRA(_ matrix: Tensor, _ matrixB: Tensor, _ b: Tensor, _ d: Tensor, _ label: String) {
        precondition(
            matrix.shape == matrixB.shape && matrixB.width % 4 == 0 && d.count == matrixB.width
                && b.count == matrixB.rows,
            "\(label): \(matrix.shape) for \(matrixB.shape), by \(b.shape) and \(d.shape)")
    }

    /// Each row of `gradient` (O, R) times 1/√(‖row of B‖ + 1/η²).
    package func alloraScale(
        _ gradient: Tensor, loraB: Tensor, eta: Float, label: String = "alloraScale"
    ) throws(VulkanError) {
        precondition(
            gradient.shape == loraB.shape && loraB.width % 4 == 0,
            "\(label): \(gradient.shape) for \(loraB.shape)")
        try rowALane(loraB.rows, width: loraB.width, label) { family, span in
            let rows = gradient.rows(span).slice
            return (
                Shader.alloraScale(family: family), [rows, rows, loraB.rows(span).slice],
                [loraB.width / 4, 1 / (eta * eta)]
            )
        }
    }

    /// DeLoRA's factors from A (R, I), the squares of the norms of B's columns (R) and λ (1); all outputs (R), see the kernel.
    package func deloraScale(
        into factors: Tensor, unit: Tensor, perA: Tensor, perB: Tensor, loraA: Tensor, squaresB: Tensor,
        lambda: Tensor, rank: Int, label: String = "deloraScale"
    ) throws(VulkanError) {
        precondition(
            [factors, unit, perA, perB, squaresB].allSatisfy { $0.count == loraA.rows }
                && loraA.width % 4 == 0,
            "\(label): \(factors.shape) for \(loraA.shape) and \(squaresB.shape)")
        let width = loraA.width
        for span in capabilities.spans(of: loraA.rows, rowByteCounts: [width * 4], family: family) {
            try dispatch(
                Shader.deloraScale(family: family),
                [factors, unit, perA, perB, loraA.rows(span), squaresB, lambda].map(\.slice),
                push: [width / 4, span.lowerBound, Float(rank)], specialization: rowLanes, groups: span.count,
                label: label)
        }
    }

    /// What the gradient `dc` (R) of DeLoRA's factors is to λ (added), and takes off the gradients of A (as a diagonal (R, R),
    /// of which only the diagonal is written) and B (R).
    package func deloraGradient(
        lambda: Tensor, takenA: Tensor, takenB: Tensor, dc: Tensor, factors: Tensor, unit: Tensor,
        perA: Tensor,
        perB: Tensor, label: String = "deloraGradient"
    ) throws(VulkanError) {
        let rank = dc.count
        precondition(
            takenA.count == rank * rank
                && [takenB, factors, unit, perA, perB].allSatisfy { $0.count == rank },
            "\(label): \(takenA.shape) and \(factors.shape) for \(dc.shape)")
        try dispatch(
            Shader.deloraGradient(family: family == .shared ? .shared : .subgroup),
            [lambda, takenA, takenB, dc, factors, unit, perA, perB].map(\.slice), push: [rank],
            specialization: rowLanes, groups: 1, label: label)
    }

    /// The largest rank of `unitInverse`.
    package static let largestInverse = 256

    /// p = (g + damping·1)⁻¹ over its norm, of symmetric g whose first `rank` rows and columns count; the others of p are zero.
    package func unitInverse(
        into p: Tensor, _ g: Tensor, rank: Int, damping: Float, label: String = "unitInverse"
    ) throws(VulkanError) {
        precondition(
            p.shape == g.shape && p.rows == p.width && rank <= min(p.rows, Self.largestInverse)
                && damping > 0,
            "\(label): \(p.shape) of \(g.shape), rank \(rank), damping \(damping)")
        // So few rows at once that a lane stays far below 65535 iterations, where a software driver stops.
        let rows = max(1, 30_000 / (rank * (1 + rank / capabilities.lanes(family))))
        for first in stride(from: 0, to: rank, by: rows) {
            try dispatch(
                Shader.unitInverse(family: family == .shared ? .shared : .subgroup), [p.slice, g.slice],
                push: [rank, p.width, damping, first, min(rank, first + rows)],
                specialization: rowLanes, groups: 1, label: label)
        }
    }

    /// Runs a kernel whose lanes take a row each; it is pushed the rows of its span, then what `kernel` says.
    private func rowALane(
        _ rows: Int, width: Int, _ label: String,
        kernel: (Shader.Family, Range<Int>) -> (Shader, [BufferSlice], [any PushWord])
    ) throws(VulkanError) {
        let lanes = capabilities.lanes(family)
        for span in capabilities.spans(of: rows, rowByteCounts: [width * 4], family: family) {
            let (shader, bindings, push) = kernel(family == .texel ? .texel : .shared, span)
            try dispatch(
                shader, bindings, push: [span.count] + push, specialization: ["LANES": UInt32(lanes)],
                groups: (span.count + lanes - 1) / lanes, label: label)
        }
    }
}
