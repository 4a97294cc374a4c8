// Which examples a step sees: every example once an epoch, in an order that depends only on seed and epoch.

package struct BatchOrder: Sendable {
    private let count: Int
    private let batchSize: Int
    private let seed: UInt64
    private let shuffles: Bool
    private var epoch = 0
    private var order: [Int] = []
    private var next = 0

    package init(examples: Int, batchSize: Int, seed: UInt64, shuffles: Bool) {
        (count, self.batchSize, self.seed, self.shuffles) = (examples, batchSize, seed, shuffles)
    }

    /// Indices of the next batch.
    package mutating func batch() -> [Int] {
        if next >= order.count { beginEpoch() }
        let range = next..<min(next + batchSize, order.count)
        next = range.upperBound
        return Array(order[range])
    }

    /// Goes past as many batches as a run began with.
    package mutating func skip(_ batches: Int) {
        let batchesOfEpoch = (count + batchSize - 1) / batchSize
        (epoch, order, next) = (batches / batchesOfEpoch, [], 0)
        guard batches % batchesOfEpoch > 0 else { return }
        beginEpoch()
        next = batches % batchesOfEpoch * batchSize
    }

    private mutating func beginEpoch() {
        order = Array(0..<count)
        if shuffles {
            // Mixed, so that neighbouring seeds and epochs have nothing in common.
            var random = RandomNumbers(seed: seed &* 0x2545_F491_4F6C_DD1D &+ UInt64(epoch))
            order.shuffle(using: &random)
        }
        epoch += 1
        next = 0
    }
}
