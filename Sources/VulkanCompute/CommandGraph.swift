// A finished recording, run as often as wanted: the same commands, reading what the buffers hold then.

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

    /// Submits everything and waits until the device is done.
    package func run() throws(VulkanError) {
        let device = recording.device
        let start = ContinuousClock.now
        var handle: VkFence? = fence
        try check(vkResetFences(device.handle, 1, &handle), "vkResetFences")
        let last = recording.submissions.count - 1
        do throws(VulkanError) {
            for (index, submission) in recording.submissions.enumerated() {
                try device.submit(submission.commands, fence: index == last ? fence : nil)
            }
            try device.wait(for: fence) {
                let labels = recording.submissions.flatMap(\.labels)
                return
                    "while running \(labels.count) dispatches, \(labels.first ?? "none") to \(labels.last ?? "none")"
            }
        } catch {
            // Nothing that is released next may still be in use by what was submitted.
            device.waitIdle()
            throw error
        }
        let seconds = (ContinuousClock.now - start) / .seconds(1)
        device.pace.note(work: recording.submissions.reduce(0) { $0 + $1.work }, seconds: seconds)
    }

    /// Device times of the last run, one entry a dispatch. Empty unless recorded with `timed`.
    package func timings() throws(VulkanError) -> [KernelTiming] { try recording.timestamps?.read() ?? [] }
}
