// What rounding to a stored type leaves of an update ΔW = W' − W, W' being the exact (f32) adapted weight and W'' what the
// file holds of it. Sums over the entries, so that modules add up.

package struct UpdateLoss: Sendable, Equatable {
    private var update = 0.0  // ‖ΔW‖²
    private var error = 0.0  // ‖W'' − W'‖²
    private var carried = 0.0  // ⟨W'' − W, ΔW⟩

    package init() {}

    /// ‖W'' − W'‖ / ‖ΔW‖: the rounding beside the update. 0 is exact; from 1 on the update drowns in it.
    package var relativeError: Double { update > 0 ? (error / update).squareRoot() : 0 }

    /// ⟨W'' − W, ΔW⟩ / ‖ΔW‖²: how far the file goes the way of the update. 1 is all the way, 0 means that W came out again.
    package var kept: Double { update > 0 ? carried / update : 1 }

    package static func + (a: UpdateLoss, b: UpdateLoss) -> UpdateLoss {
        var sum = a
        sum.update += b.update
        sum.error += b.error
        sum.carried += b.carried
        return sum
    }

    mutating func add(
        weight: UnsafeBufferPointer<Float>, exact: UnsafeMutableBufferPointer<Float>,
        stored: UnsafeMutableBufferPointer<Float>
    ) {
        for j in 0..<weight.count {
            let change = Double(exact[j]) - Double(weight[j])
            let rounding = Double(stored[j]) - Double(exact[j])
            update += change * change
            error += rounding * rounding
            carried += (change + rounding) * change
        }
    }
}
