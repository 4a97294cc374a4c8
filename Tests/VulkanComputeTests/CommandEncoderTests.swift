// Recordings: barriers exactly where needed, dispatches and submissions cut to limits, timestamps, replay.

import Kernels
import TestSupport
import Testing
import VulkanCompute

@Suite struct CommandEncoderTests {
    @Test(arguments: [4, 1000, 4096, 50_000])
    func smallLimitsSplitDispatchesAndSubmissions(count: Int) throws {
        for device in [try TestDevices.main, try TestDevices.smallLimits] {
            let (a, b) = ((0..<count).map { Float($0) }, (0..<count).map { Float($0 % 7) })
            let (ta, tb) = (try device.makeTensor(a, [count]), try device.makeTensor(b, [count]))
            let y = try device.makeTensor([count], label: "y")
            let encoder = try CommandEncoder(device)
            try encoder.add(into: y, ta, tb)
            try encoder.add(tb, scaledBy: -3, addingTo: y)
            let graph = try encoder.finish()
            try graph.run()
            #expect(try device.values(y) == zip(a, b).map { $0 + $1 - 3 * $1 })
            if count == 50_000, device.capabilities.maxWorkgroupCount == 3 {
                #expect(graph.submissionCount > 10)
            }
        }
        #expect(try TestDevices.smallLimits.capabilities.maxWorkgroupCount == 3)
    }

    @Test func aBarrierOnlyWhereACommandDependsOnAnEarlierOne() throws {
        let device = try TestDevices.main
        let buffer = try device.makeBuffer(byteCount: 4096, label: "ranges")
        func part(_ index: Int) -> BufferSlice { buffer.slice(index * 1024, byteCount: 1024) }
        let encoder = try CommandEncoder(device)
        try encoder.fill(part(0), value: 1)
        try encoder.fill(part(1), value: 2)
        #expect(encoder.barrierCount == 0)
        try encoder.copy(into: part(2), from: part(0))  // read after write
        #expect(encoder.barrierCount == 1)
        try encoder.copy(into: part(3), from: part(0))  // two reads
        #expect(encoder.barrierCount == 1)
        try encoder.fill(part(0), value: 3)  // write after read
        #expect(encoder.barrierCount == 2)
        try encoder.fill(part(0), value: 4)  // write after write
        #expect(encoder.barrierCount == 3)
        let graph = try encoder.finish()
        try graph.run()
        try graph.run()
        let words = try device.download(buffer.slice(), as: UInt32.self)
        #expect([0, 256, 512, 768].map { words[$0] } == [4, 2, 1, 1])
    }

    @Test func rangesThatOnlyTouchNeedNoBarrier() throws {
        let device = try TestDevices.main
        let buffer = try device.makeBuffer(byteCount: 1024, label: "ranges")
        let other = try device.makeBuffer(byteCount: 1024, label: "other")
        let encoder = try CommandEncoder(device)
        try encoder.fill(buffer.slice(0, byteCount: 512), value: 1)
        try encoder.copy(into: other.slice(0, byteCount: 512), from: buffer.slice(512, byteCount: 512))
        try encoder.fill(other.slice(512, byteCount: 512), value: 3)
        #expect(encoder.barrierCount == 0)
        try encoder.fill(other.slice(508, byteCount: 4), value: 5)  // one word of what was copied
        #expect(encoder.barrierCount == 1)
        try encoder.finish().run()
        #expect(try device.download(other.slice(508, byteCount: 8), as: UInt32.self) == [5, 3])
    }

    /// 40 additions, each on the result of the one before: one missing barrier shows.
    @Test func aGraphReplaysWithWhatTheBuffersHold() throws {
        for device in [try TestDevices.main, try TestDevices.smallLimits] {
            let x = try device.makeTensor([Float](repeating: 1, count: 2048), [2048])
            let y = try device.makeTensor([2048], label: "y")
            let encoder = try CommandEncoder(device)
            try encoder.fill(y.slice)
            for _ in 0..<40 { try encoder.add(x, scaledBy: 0.5, addingTo: y) }
            #expect(encoder.dispatchCount == 40)
            let graph = try encoder.finish()
            for value in [1, 3, -2] as [Float] {
                try device.upload([Float](repeating: value, count: 2048), into: x.slice)
                try graph.run()
                #expect(try device.values(y) == [Float](repeating: 20 * value, count: 2048))
            }
        }
    }

    @Test func submissionsAreCutByWorkAndNumber() throws {
        let device = try Device.open()  // one whose pace nobody else changes
        let (x, y) = (try device.makeTensor([256], label: "x"), try device.makeTensor([256], label: "y"))
        func submissions(_ count: Int, flops: Double) throws -> Int {
            let encoder = try CommandEncoder(device)
            for _ in 0..<count {
                try encoder.dispatch(
                    Shader.scale(family: .shared), [y.slice, x.slice], push: [64, Float(1)],
                    specialization: ["LANES": 64, "VECTORS": 1], groups: 1, flops: flops, label: "work")
            }
            return try encoder.finish().submissionCount
        }
        let budget = device.pace.budget
        #expect(try submissions(40, flops: 0) == 1)
        #expect(try submissions(1200, flops: 0) == 3)  // 512 each
        #expect(try submissions(12, flops: budget * 0.4) == 6)
        #expect(try submissions(5, flops: budget * 10) == 5)
        #expect(Pace.secondsPerSubmission <= 0.5)
        // Half a frame of a desktop's 60 a second.
        device.pace.isDisplayFriendly = true
        #expect(device.pace.budget / budget < 0.5 / 60 / Pace.secondsPerSubmission)
        #expect(try submissions(3, flops: budget * 0.02) == 3)
        device.pace.isDisplayFriendly = false
        #expect(device.pace.budget == budget)
    }

    @Test func aDispatchLargerThanASubmissionIsCut() throws {
        let device = try Device.open()
        let count = 1 << 16
        let values = (0..<count).map { Float($0) }
        let x = try device.makeTensor(values, [count])
        let y = try device.makeTensor([count], label: "y")
        let encoder = try CommandEncoder(device)
        try encoder.dispatch(
            Shader.scale(family: .shared), [y.slice, x.slice], push: [count / 4, Float(2)],
            specialization: ["LANES": 64, "VECTORS": 1], groups: count / 256, flops: device.pace.budget * 7.5,
            label: "long")
        let graph = try encoder.finish()
        #expect(graph.submissionCount == 8 && encoder.dispatchCount == 1)
        try graph.run()
        #expect(try device.values(y) == values.map { 2 * $0 })
    }

    @Test func aPlanningEncoderCountsAndNeedsNoMemory() throws {
        let encoder = CommandEncoder(planningFor: try TestDevices.main.capabilities)
        let huge = Buffer(planned: 1 << 50, label: "planned")
        let tensor = Tensor(huge.slice(0, byteCount: 1 << 20), shape: [1 << 18])
        try encoder.add(into: tensor, tensor, tensor)
        try encoder.fill(tensor.slice)
        #expect(encoder.isPlanning && encoder.dispatchCount == 1 && huge.mapped == nil)
    }

    private static let hasTimestamps = (try? TestDevices.main.capabilities.timestampPeriod != 0) ?? true

    /// More dispatches than one query pool or one submission holds.
    @Test(.enabled(if: hasTimestamps, "the device has no timestamps"), arguments: [3, 700])
    func timestampsFollowTheRecording(count: Int) throws {
        let device = try TestDevices.main
        let x = try device.makeTensor([Float](repeating: 1, count: 1024), [1024])
        let y = try device.makeTensor([1024], label: "y")
        let encoder = try CommandEncoder(device, timed: true)
        for index in 0..<count { try encoder.add(x, addingTo: y, label: "add \(index)") }
        let graph = try encoder.finish()
        for _ in 0..<2 {
            try graph.run()
            let timings = try graph.timings()
            #expect(timings.map(\.label) == (0..<count).map { "add \($0)" })
            #expect(
                timings.allSatisfy { $0.kernel.hasPrefix("addScaled") || $0.kernel.hasPrefix("add_scaled") })
            #expect(timings.allSatisfy { $0.seconds >= 0 && $0.seconds < 60 })
            #expect(timings.first?.startSeconds == 0)
            // Each depends on the one before, so they do not overlap.
            for (one, next) in zip(timings, timings.dropFirst()) {
                #expect(next.startSeconds >= one.startSeconds && next.startSeconds < 600)
            }
        }
        let untimed = try CommandEncoder(device)
        try untimed.add(x, addingTo: y)
        #expect(try untimed.finish().timings().isEmpty)
    }
}
