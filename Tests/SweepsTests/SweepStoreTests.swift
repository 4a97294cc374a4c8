// What is kept of runs, whose turn it is, and folders that hold something else.

import Checkpoints
import Foundation
import Sweeps
import Testing

@Suite struct SweepStoreTests {
    private let settings: JSON.Object = ["steps": .integer(2), "data": .string("a\"b")]
    private let point = SweepPoint(
        method: "lora", initialization: "init-b", rank: 4, learningRate: 1e-3, seed: .max)

    private func withFolder(_ body: (String) throws -> Void) throws {
        let folder = NSTemporaryDirectory() + "sweep-\(UUID().uuidString)"
        defer { try? FileManager.default.removeItem(atPath: folder) }
        try body(folder)
    }

    private func result(_ point: SweepPoint, divergedAt: Int? = nil) -> SweepResult {
        var result = SweepResult(point)
        (result.divergedAt, result.trainLoss) = (divergedAt, divergedAt == nil ? 0.1 + 0.2 : nil)
        (result.parameters, result.secondsPerStep) = (7, 0.5)
        (result.exampleAccuracy, result.memory) = (2 / 3, 1 << 40)
        var looked = SweepResult.Step(step: 2, loss: 1, learningRate: 1, gradientNorm: 1)
        (looked.validationLoss, looked.zA, looked.zB) = (0.1, 1e-9, 0)
        result.curve = [
            .init(step: 1, loss: 1 / 3, learningRate: 1e-300, gradientNorm: .leastNonzeroMagnitude), looked,
        ]
        return result
    }

    @Test func resultsComeBackToTheBit() throws {
        try withFolder { folder in
            var other = point
            other.seed = 2
            let store = try SweepStore(folder, settings: settings)
            try store.add([point, other])
            try store.add([point])
            try store.save(result(point))
            try store.save(result(other, divergedAt: 2))
            #expect(
                try SweepStore(folder, settings: settings).results() == [
                    result(point), result(other, divergedAt: 2),
                ])
        }
    }

    @Test func aRunBelongsToOneAndIsFreeAgainAfterThat() throws {
        try withFolder { folder in
            let (one, two) = (
                try SweepStore(folder, settings: settings), try SweepStore(folder, settings: settings)
            )
            try one.add([point])
            let claim = try one.claim(point)
            #expect(claim != nil)
            #expect(try two.claim(point) == nil)
            withExtendedLifetime(claim) {}
        }
        try withFolder { folder in
            let store = try SweepStore(folder, settings: settings)
            try store.add([point])
            do { #expect(try store.claim(point) != nil) }
            #expect(
                try store.claim(point) != nil, "the claim of a process that ended without a result is gone")
            try store.save(result(point))
            #expect(try store.claim(point) == nil && store.isDone(point))
        }
    }

    @Test func otherSettingsAreRefused() throws {
        try withFolder { folder in
            _ = try SweepStore(folder, settings: settings)
            let error = #expect(throws: FileError.self) {
                try SweepStore(folder, settings: ["steps": .integer(3), "data": .string("a\"b")])
            }
            #expect(
                error?.description
                    == "\(folder): holds a sweep begun with steps 2, not 3; choose another folder, or the old value"
            )
        }
    }

    /// Whatever is overwritten in the file: an error that names it, or a database that still works.
    @Test func aDamagedDatabaseIsASentence() throws {
        try withFolder { folder in
            let store = try SweepStore(folder, settings: settings)
            try store.add([point])
            try store.save(result(point))
            let path = URL(fileURLWithPath: "\(folder)/sweep.sqlite")
            let whole = try Data(contentsOf: path)
            var refused = 0
            for offset in stride(from: 0, to: whole.count, by: 1024) {
                var damaged = whole
                damaged.replaceSubrange(
                    offset..<min(offset + 64, whole.count),
                    with: [UInt8](repeating: 0xA5, count: min(64, whole.count - offset)))
                try damaged.write(to: path)
                do {
                    _ = try SweepStore(folder, settings: settings).results()
                } catch let error {
                    refused += 1
                    #expect("\(error)".hasPrefix("\(folder)"), "\(error)")
                }
            }
            #expect(refused > 0)
            try Data("no database at all, but long enough to be read as one".utf8).write(to: path)
            let error = #expect(throws: FileError.self) { try SweepStore(folder, settings: settings) }
            #expect(
                error?.description
                    == "\(path.path): cannot use the database: file is not a database; move it away to begin the sweep again, or restore a copy"
            )
        }
    }
}
