// An adapter's update of one weight, row by row in f32: W' = W + s·B·A. With a magnitude m (DoRA):
// W' = m ⊙ (W + s·B·A) / ‖W + s·B·A‖, norms and m by row. Hu et al. 2021, LoRA; Liu et al. 2024, DoRA.

import Checkpoints

struct WeightUpdate {
    private let rank: Int
    private let loraA: [Float]  // (R, in)
    private let scaledB: [Float]  // (out, R): s·B
    private let magnitude: [Float]?  // (out)

    /// `columns`: those of the weight.
    init(_ module: AdapterModule, columns: Int) throws(FileError) {
        rank = module.rank
        let scaling = Float(module.scaling)
        loraA = try module.loraA.cut(toColumns: columns).floats()
        scaledB = try module.loraB.floats().map { $0 * scaling }
        magnitude = try module.magnitude?.floats()
    }

    /// Row `i` of W' from that of W, both of `in` numbers.
    func apply(
        to weight: UnsafeBufferPointer<Float>, row i: Int, into result: UnsafeMutableBufferPointer<Float>
    ) {
        result.update(repeating: 0)
        loraA.withUnsafeBufferPointer { loraA in
            for k in 0..<rank {
                let b = scaledB[i * rank + k]
                let a = UnsafeBufferPointer(rebasing: loraA[k * weight.count..<(k + 1) * weight.count])
                for j in 0..<weight.count { result[j] += b * a[j] }
            }
        }
        for j in 0..<weight.count { result[j] += weight[j] }
        guard let magnitude else { return }
        let norm = result.reduce(0.0) { $0 + Double($1) * Double($1) }.squareRoot()
        let factor = Float(Double(magnitude[i]) / norm)
        for j in 0..<weight.count { result[j] *= factor }
    }
}
