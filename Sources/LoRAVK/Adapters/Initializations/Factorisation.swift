// Factors of a layer's weight: W ≈ U·diag(S)·Vᵀ. Exactly, on the CPU; or by subspace iteration, whose products with W run on
// the device. Halko, Martinsson & Tropp 2011, Finding Structure with Randomness.

import CEigen
import Checkpoints
import Kernels
import VulkanCompute

struct SingularTriplets: Sendable {
    let rank: Int
    var u: [Float]  // (O, rank)
    let s: [Float]  // (rank), largest first
    let vt: [Float]  // (rank, I)

    /// Of a matrix (rows, columns).
    init(_ matrix: [Float], rows: Int, columns: Int, rank: Int, of name: String) throws(ConfigError) {
        var (u, s) = ([Float](repeating: 0, count: rows * rank), [Float](repeating: 0, count: rank))
        var vt = [Float](repeating: 0, count: rank * columns)
        guard eigen_svd(matrix, Int32(rows), Int32(columns), Int32(rank), &u, &s, &vt) else {
            throw ConfigError("\(name): no singular vectors of the (\(rows), \(columns)) weight were found")
        }
        (self.rank, self.u, self.s, self.vt) = (rank, u, s, vt)
    }

    /// Of W on the device, after so many products with Wᵀ·W of more random directions than asked for.
    init(_ site: InitialSite, iterations: Int, using random: inout RandomNumbers) throws {
        let base = try site.weight()
        let (rows, columns) = (site.outFeatures, site.inFeatures)
        let count = min(site.rank + 10, rows, columns)
        var x = normal(count * columns, deviation: 1, &random)
        var y = try base.times(x, count: count)
        for _ in 0..<iterations {
            try orthonormalise(&y, count, rows, of: base.linear.name)
            x = try base.transposedTimes(y, count: count)
            try orthonormalise(&x, count, columns, of: base.linear.name)
            y = try base.times(x, count: count)
        }
        try orthonormalise(&y, count, rows, of: base.linear.name)
        // W ≈ Q·(Qᵀ·W), and the second factor is small.
        let small = try SingularTriplets(
            try base.transposedTimes(y, count: count), rows: count, columns: columns, rank: site.rank,
            of: base.linear.name)
        self = small.expanded(by: y, rows: rows)
    }

    /// The triplets of qᵀ times what these are of; q (k, rows) has orthonormal rows.
    func expanded(by q: [Float], rows: Int) -> SingularTriplets {
        let count = q.count / rows
        var result = self
        result.u = (0..<rows).flatMap { row in
            (0..<rank).map { column in
                Float(
                    (0..<count).reduce(0.0) {
                        $0 + Double(q[$1 * rows + row]) * Double(u[$1 * rank + column])
                    })
            }
        }
        return result
    }
}

/// Makes rows orthonormal.
func orthonormalise(
    _ matrix: inout [Float], _ rows: Int, _ columns: Int, of name: String
) throws(ConfigError) {
    guard eigen_orthonormal_rows(&matrix, Int32(rows), Int32(columns)) else {
        throw ConfigError("\(name): \(rows) directions of \(columns) numbers cannot be made orthonormal")
    }
}

extension InitialSite {
    /// The frozen layer, whose rank must be enough.
    func weight() throws(ConfigError) -> Base {
        guard let base else { preconditionFailure("this initialisation needs the layer's weight") }
        guard rank <= min(inFeatures, outFeatures) else {
            throw ConfigError(
                "the rank is \(rank), and '\(base.linear.name)' of \(inFeatures) inputs and \(outFeatures) outputs "
                    + "has no more than \(min(inFeatures, outFeatures)) singular vectors")
        }
        return base
    }
}

extension InitialSite.Base {
    /// W (O, I) as the checkpoint has it.
    func values() throws -> [Float] {
        let stored = try model.checkpoint.tensor(linear.name + ".weight")
        return try stored.floats(rows: 0..<stored.rows)
    }

    /// x·Wᵀ (count, O) of x (count, I)
    func times(_ x: [Float], count: Int) throws(VulkanError) -> [Float] {
        try product(x, count, linear.inFeatures, linear.outFeatures) { encoder, y, x throws(VulkanError) in
            try encoder.matmul(into: y, x, weight: linear.weight, label: "\(linear.name) factors")
        }
    }

    /// y·W (count, I) of y (count, O)
    func transposedTimes(_ y: [Float], count: Int) throws(VulkanError) -> [Float] {
        try product(y, count, linear.outFeatures, linear.inFeatures) { encoder, x, y throws(VulkanError) in
            try encoder.matmulBackward(into: x, y, weight: linear.weight, label: "\(linear.name) factors")
        }
    }

    private func product(
        _ values: [Float], _ count: Int, _ width: Int, _ newWidth: Int,
        _ record: (CommandEncoder, Tensor, Tensor) throws(VulkanError) -> Void
    ) throws(VulkanError) -> [Float] {
        let device = model.device
        let input = try device.makeTensor(values, [count, width], label: "factors")
        let output = try device.makeTensor([count, newWidth], label: "factors")
        try device.run { encoder throws(VulkanError) in try record(encoder, output, input) }
        return try device.values(output)
    }
}
