// A finished recording, run as often as wanted: the same commands and work of the host, reading what the buffers hold then.

import CVulkan

/// Not thread-safe: one thread runs it.
package final class CommandGraph {
    private let recording: Recording
    private let fence: VkFence

    init(_ recording: Recording) throws(VulkanError) {
        self.recording = recording
        var info = VkFenceCreateInfo()
        info.sType = VK_STRUCTURE_TYPE_FENCE_CREATE_INFO
        var fence: VkFence?
        try check(vkCreateFence(recording.device.handle, &info, nil, &fence), "vkCreateFence")
        guard let fence else { throw VulkanError(.call, "vkCreateFence gave no fence") }
        self.fence = fence
    }

    deinit { vkDestroyFence(recording.device.handle, fence, nil) }

    package var submissionCount: Int { recording.submissions.count }

    /// Submits everything, does the host's part where it is its turn, and waits until the device is done.
    package func run() throws(VulkanError) {
        let device = recording.device
        let start = ContinuousClock.now
        var hostSeconds = 0.0
        let last = recording.submissions.count - 1
        do throws(VulkanError) {
            var first = 0
            for (index, submission) in recording.submissions.enumerated() {
                let isAwaited = index == last || !submission.hostWork.isEmpty
                if isAwaited { try resetFence() }
                try device.submit(submission.commands, fence: isAwaited ? fence : nil)
                guard isAwaited else { continue }
                try device.wait(for: fence) {
                    let labels = recording.submissions[first...index].flatMap(\.labels)
                    return
                        "while running \(labels.count) dispatches, \(labels.first ?? "none") to \(labels.last ?? "none")"
                }
                for work in submission.hostWork { hostSeconds += work.run() }
                first = index + 1
            }
        } catch {
            // Nothing that is released next may still be in use by what was submitted.
            device.waitIdle()
            throw error
        }
        let seconds = (ContinuousClock.now - start) / .seconds(1) - hostSeconds
        device.pace.note(work: recording.submissions.reduce(0) { $0 + $1.work }, seconds: seconds)
    }

    private func resetFence() throws(VulkanError) {
        var handle: VkFence? = fence
        try check(vkResetFences(recording.device.handle, 1, &handle), "vkResetFences")
    }

    /// Times of the last run, one entry a dispatch or work of the host. Empty unless recorded with `timed`.
    package func timings() throws(VulkanError) -> [KernelTiming] {
        guard let timings = try recording.timestamps?.read() else { return [] }
        var (all, next) = ([KernelTiming](), 0)
        for submission in recording.submissions {
            all += timings[next..<next + submission.labels.count]
            next += submission.labels.count
            for work in submission.hostWork {
                all.append(work.timing(after: all.last.map { $0.startSeconds + $0.seconds } ?? 0))
            }
        }
        return all
    }
}
