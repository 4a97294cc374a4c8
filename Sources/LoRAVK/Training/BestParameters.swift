// The parameters of a run's best validation: in a file of its folder, so that they outlive the process, or in memory where there is
// none. The file is named after its step: a run that goes on from an older state finds the one that the state names.

import Checkpoints
import Kernels
import VulkanCompute

struct BestParameters {
    let step: Int
    private let place: Place

    private enum Place {
        case file(String)
        case memory([Float])
    }

    /// Of now.
    init(
        of trainer: Trainer, step: Int, _ folder: RunFolder?, _ onWarning: (String) -> Void
    ) throws {
        self.step = step
        if let folder {
            do {
                let path = folder.bestPath(step)
                try trainer.saveParameters(to: path)
                place = .file(path)
                return
            } catch let error as FileError {
                onWarning("\(error); the best adapter is kept in memory")
            }
        }
        place = .memory(try trainer.model.device.values(trainer.adapter.parameters))
    }

    init(step: Int, file: String) { (self.step, place) = (step, .file(file)) }

    func restore(_ trainer: Trainer) throws {
        switch place {
        case .file(let path): try trainer.loadParameters(from: path)
        case .memory(let values):
            try trainer.model.device.upload(values, into: trainer.adapter.parameters.slice)
            trainer.adapter.parametersChanged()
        }
    }
}
