// How much work one submission may hold. A desktop driver resets a GPU whose submission runs for seconds (two are
// the shortest known limit), so work is cut to a fraction of that by what the device was seen to do; to half a frame where a desktop on
// the same GPU is to stay fluid, since a compositor gets its turn between submissions.

import Synchronization

package final class Pace: Sendable {
    package static let secondsPerSubmission = 0.25
    package static let displaySecondsPerSubmission = 0.008
    private static let dispatchesPerSubmission = 512

    private let rate: Mutex<Double>
    private let seconds = Mutex(secondsPerSubmission)
    private let dispatchLimit: Int

    init(type: Capabilities.DeviceType, smallLimits: Bool) {
        let first: Double =
            switch type {
            case .discrete: 1e12
            case .integrated: 1e11
            case .cpu: 2e10
            case .virtual, .other: 5e10
            }
        rate = Mutex(smallLimits ? 1e5 : first)
        dispatchLimit = smallLimits ? 3 : Self.dispatchesPerSubmission
    }

    /// Floating-point operations (or bytes, for kernels bound by them) that one submission may hold.
    package var budget: Double { rate.withLock { $0 } * seconds.withLock { $0 } }
    /// Whether what is recorded from now on leaves a desktop its turns.
    package var isDisplayFriendly: Bool {
        get { seconds.withLock { $0 } == Self.displaySecondsPerSubmission }
        set {
            seconds.withLock { $0 = newValue ? Self.displaySecondsPerSubmission : Self.secondsPerSubmission }
        }
    }
    package var dispatches: Int { dispatchLimit }

    /// A submission sequence of this much work took this long. The estimate falls at once and rises slowly.
    func note(work: Double, seconds: Double) {
        guard work > 1e8, seconds > 1e-4 else { return }
        let seen = work / seconds
        rate.withLock { $0 = seen < $0 ? seen : $0 * 0.75 + seen * 0.25 }
    }
}
