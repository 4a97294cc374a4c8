// Threads that share a context, and threads with one each, get what they get alone.

import CLoRAVK
import LoRAVKC
import TestSupport
import Testing

@Suite struct ThreadTests {
    /// Everything is made before the threads start: the validation layer keeps its devices in a table without a lock.
    private func trainers(_ contexts: [Handle]) throws -> [Handle] {
        try contexts.enumerated().map { index, context in
            let model = try context.model()
            return try model.trainer(try model.adapter(seed: UInt64(index)))
        }
    }

    private func losses(_ trainer: Handle) throws -> [Double] {
        try (0..<4).map { try trainer.step(someTokens(24, seed: UInt64($0)), batch: 2).loss }
    }

    @Test(arguments: [true, false])
    func trainingIsAsAlone(_ sharing: Bool) throws {
        let first = try makeContext()
        let contexts = try (0..<2).map { $0 == 0 || sharing ? first : try makeContext() }
        let alone = try trainers(contexts).map(losses)
        let trainers = try trainers(contexts)
        let together = try onThreads(2) { try losses(trainers[$0]) }
        #expect(together == alone)
    }

    @Test func everythingOfAContextMayBeShared() throws {
        let context = try makeContext()
        let model = try context.model()
        let adapter = try model.adapter()
        let trainer = try model.trainer(adapter)
        let x = try context.tensor((0..<64).map { Float($0) }, [8, 8])
        let square = try product(context, x)
        let sums = try onThreads(4) { index in
            var sum = 0
            for round in 0..<8 {
                if try product(context, x) == square { sum += 1 }
                // One adapter and one trainer, by all; and handles that come and go.
                _ = try trainer.step(someTokens(8, seed: UInt64(index)), batch: 1)
                _ = try adapter.parameters()
                if round == index { try model.adapter().release() }
                #expect(text(loravk_matmul(x.pointer, x.pointer, x.pointer, 0, 1, false), 1) != nil)
            }
            return sum
        }
        #expect(sums == [8, 8, 8, 8])
        var steps: Int64 = 0
        try check(loravk_trainer_step_count(trainer.pointer, &steps))
        #expect(steps == 32)
    }

    private func product(_ context: Handle, _ x: Handle) throws -> [Float] {
        let y = try context.tensor([8, 8])
        try check(loravk_matmul(y.pointer, x.pointer, x.pointer, 0, 1, false))
        return try y.floats
    }

    @Test func aHandleMayBeReleasedWhileItIsInUse() throws {
        let context = try makeContext()
        for _ in 0..<20 {
            let x = try context.tensor([64, 64])
            let released = try onThreads(2) { index -> loravk_status in
                if index == 1 {
                    loravk_tensor_release(x.pointer)
                    return loravk_status(LORAVK_OK)
                }
                return loravk_zero(x.pointer)
            }
            #expect(released[0] == LORAVK_OK || released[0] == LORAVK_ERROR_INVALID_HANDLE)
        }
    }
}
