// Gradients by central differences of fourth order, to check the references' own backward functions:
// f'(x) ≈ (8·(f(x+h) − f(x−h)) − (f(x+2h) − f(x−2h))) / 12h, error O(h⁴).

package func finiteDifference(
    at x: [Double], step: Double = 1e-3, of function: ([Double]) -> Double
) -> [Double] {
    x.indices.map { i in
        func moved(_ by: Double) -> Double {
            var moved = x
            moved[i] += by
            return function(moved)
        }
        let near = moved(step) - moved(-step)
        let far = moved(2 * step) - moved(-2 * step)
        return (8 * near - far) / (12 * step)
    }
}

/// Σ values ⊙ weights: turns an operation's output into one number whose gradient is the backward of `weights`.
package func weightedSum(_ values: [Double], _ weights: [Double]) -> Double {
    zip(values, weights).reduce(0) { $0 + $1.0 * $1.1 }
}
