// Whoever waits for a long export is told how far it is, and may end it between two tensors.

import Checkpoints

package struct ExportObserver {
    /// Asked before each tensor; an export that is stopped throws and leaves nothing behind.
    package var shouldStop: () -> Bool
    package var onTensor: (_ done: Int, _ total: Int) -> Void

    package init(
        shouldStop: @escaping () -> Bool = { false },
        onTensor: @escaping (_ done: Int, _ total: Int) -> Void = { _, _ in }
    ) {
        (self.shouldStop, self.onTensor) = (shouldStop, onTensor)
    }

    /// The same tensors, observed while they are written, in whatever order.
    func watch(_ tensors: [TensorSource], to path: String) -> [TensorSource] {
        var done = 0
        return tensors.map { tensor in
            TensorSource(tensor.name, tensor.type, shape: tensor.shape) { (emit) throws(FileError) in
                if shouldStop() {
                    throw FileError(path, "stopped before it was complete, nothing was written")
                }
                try tensor.produce(emit)
                done += 1
                onTensor(done, tensors.count)
            }
        }
    }
}
