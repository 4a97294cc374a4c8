// How examples lie in a batch, and the order in which an epoch takes them.

import LoRAVK
import Testing

@Suite struct TokenBatchTests {
    private let ignored = TokenBatch.ignored

    @Test func tokensArePackedWithPositionsSpansAndTargets() {
        let batch = TokenBatch([
            Example(tokens: [5, 6, 7]), Example(tokens: []),
            Example(tokens: [8, 9, 10, 11], labels: [-100, -100, 10, 11]),
        ])
        #expect(batch.tokens == [5, 6, 7, 8, 9, 10, 11])
        #expect(batch.positions == [0, 1, 2, 0, 1, 2, 3])
        #expect(batch.spans == [0, 3, 0, 3, 0, 3, 3, 7, 3, 7, 3, 7, 3, 7])
        #expect(batch.countedPositions == [0, 1, 4, 5])
        #expect(batch.targets == [6, 7, 10, 11])
        #expect(batch.tokenCount == 7 && batch.countedCount == 4 && batch.keyOffset == 0)
    }

    @Test func theFirstTokenIsNeverATarget() {
        #expect(Example(tokens: [3, 4]).countedTokens == 1)
        #expect(Example(tokens: [3], labels: [3]).countedTokens == 0)
        #expect(Example(tokens: []).countedTokens == 0)
        let batch = TokenBatch([Example(tokens: [3]), Example(tokens: [4], labels: [4])])
        #expect(batch.countedCount == 0 && batch.tokenCount == 2)
    }

    @Test func anyNegativeLabelIsIgnored() {
        let example = Example(tokens: [1, 2, 3, 4], labels: [1, -100, -1, 4])
        #expect(example.countedTokens == 1)
        #expect(TokenBatch([example]).countedPositions == [2])
        #expect(TokenBatch([example]).targets == [4])
    }

    @Test func paddingIsSequencesOfOneTokenThatNothingCounts() {
        let batch = TokenBatch([Example(tokens: [5, 6, 7])])
        #expect(batch.shape == BatchShape(tokens: 8, counted: 8))
        let padded = batch.padded(to: batch.shape)
        #expect(padded.tokens == [5, 6, 7, 0, 0, 0, 0, 0])
        #expect(padded.positions == [0, 1, 2, 0, 0, 0, 0, 0])
        #expect(padded.spans == [0, 3, 0, 3, 0, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8])
        #expect(padded.countedPositions == [0, 1, -1, -1, -1, -1, -1, -1])
        #expect(padded.targets == [6, 7] + [Int32](repeating: ignored, count: 6))
        #expect(padded.tokenCount == 3 && padded.countedCount == 2)
    }

    @Test func bucketsCoverWithLittlePadding() {
        #expect(
            [0, 1, 8, 9, 32, 33, 64, 65, 512, 513, 640, 641].map(TokenBatch.bucket)
                == [8, 8, 8, 16, 32, 48, 64, 80, 512, 528, 640, 656])
        for count in 1...3000 {
            let bucket = TokenBatch.bucket(count)
            #expect(bucket >= count && bucket % 8 == 0 && TokenBatch.bucket(bucket) == bucket)
            #expect(bucket - count < (count <= 32 ? 8 : 16))
            let whole = TokenBatch.wholeBucket(count)
            #expect(whole <= count && (whole == 0 || TokenBatch.bucket(whole) == whole))
        }
    }

    @Test func aBatchWithoutTargetsStillHasAShape() {
        #expect(TokenBatch([Example(tokens: [1], labels: [-100])]).shape == BatchShape(tokens: 8, counted: 8))
    }
}

@Suite struct BatchOrderTests {
    private func epochs(_ count: Int, _ order: inout BatchOrder, of examples: Int, batchSize: Int) -> [[Int]]
    {
        let steps = (examples + batchSize - 1) / batchSize
        return (0..<count).map { _ in (0..<steps).flatMap { _ in order.batch() } }
    }

    @Test(arguments: [1, 2, 10, 23], [1, 4, 10, 100])
    func everyExampleOnceAnEpoch(examples: Int, batchSize: Int) {
        var order = BatchOrder(examples: examples, batchSize: batchSize, seed: 3, shuffles: true)
        for epoch in epochs(4, &order, of: examples, batchSize: batchSize) {
            #expect(epoch.sorted() == Array(0..<examples))
        }
    }

    @Test func batchesAreFullButTheLastOfAnEpoch() {
        var order = BatchOrder(examples: 10, batchSize: 4, seed: 0, shuffles: true)
        #expect((0..<6).map { _ in order.batch().count } == [4, 4, 2, 4, 4, 2])
    }

    @Test func theSeedAndTheEpochDecideTheOrder() {
        func run(_ seed: UInt64) -> [[Int]] {
            var order = BatchOrder(examples: 50, batchSize: 8, seed: seed, shuffles: true)
            return epochs(3, &order, of: 50, batchSize: 8)
        }
        #expect(run(1) == run(1))
        let all = (0..<4).flatMap { run($0) }
        #expect(Set(all).count == all.count, "two epochs have the same order")
    }

    @Test(arguments: [1, 2, 10, 23], [1, 4, 10, 100])
    func skippingIsGoingThrough(examples: Int, batchSize: Int) {
        let begun = BatchOrder(examples: examples, batchSize: batchSize, seed: 3, shuffles: true)
        for skipped in 0..<30 {
            var (order, other) = (begun, begun)
            for _ in 0..<skipped { _ = order.batch() }
            other.skip(skipped)
            #expect((0..<8).map { _ in order.batch() } == (0..<8).map { _ in other.batch() })
        }
        var far = begun
        far.skip(1 << 48)
        #expect(!far.batch().isEmpty)
    }

    @Test func withoutShufflingTheOrderIsThatOfTheFile() {
        var order = BatchOrder(examples: 5, batchSize: 2, seed: 9, shuffles: false)
        #expect((0..<4).map { _ in order.batch() } == [[0, 1], [2, 3], [4], [0, 1]])
    }
}
