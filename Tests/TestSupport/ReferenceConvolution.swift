// Gated short convolutions in plain Swift: a[n] = c[n]·(Σ_j w[j]·u[n − j] + v), u = b·x, over the tokens of a sequence. Where a token's
// sequence begins is in `first`.

package struct ReferenceConvolution {
    package let width: Int
    package let weight: [Double]  // (L, C)
    package let bias: [Double]?  // (C)
    package let first: [Int]  // (N)

    package init(width: Int, weight: [Double], bias: [Double]?, first: [Int]) {
        (self.width, self.weight, self.bias, self.first) = (width, weight, bias, first)
    }

    private func convolved(_ u: [Double]) -> [Double] {
        u.indices.map { i in
            let (row, column) = (i / width, i % width)
            return (0..<weight.count / width).reduce(bias?[column] ?? 0) { sum, j in
                row - j < first[row] ? sum : sum + weight[j * width + column] * u[i - j * width]
            }
        }
    }

    package func forward(b: [Double], c: [Double], x: [Double]) -> [Double] {
        zip(c, convolved(zip(b, x).map { $0 * $1 })).map { $0 * $1 }
    }

    package func backward(
        _ da: [Double], b: [Double], c: [Double], x: [Double]
    ) -> (b: [Double], c: [Double], x: [Double]) {
        let u = zip(b, x).map { $0 * $1 }
        var du = [Double](repeating: 0, count: u.count)
        for i in u.indices {
            for j in 0..<weight.count / width where i / width - j >= first[i / width] {
                du[i - j * width] += weight[j * width + i % width] * da[i] * c[i]
            }
        }
        return (
            zip(du, x).map { $0 * $1 }, zip(da, convolved(u)).map { $0 * $1 }, zip(du, b).map { $0 * $1 }
        )
    }
}
