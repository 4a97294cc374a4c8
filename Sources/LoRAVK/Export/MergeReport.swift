// What a merge lost: how much of each update came through the stored types.

import Checkpoints

package struct MergeReport: Sendable {
    package struct Module: Sendable {
        package let name: String
        package let before: StorageType
        package let type: StorageType
        package let loss: UpdateLoss
    }

    package struct Better: Sendable {
        package let type: StorageType
        /// Estimated from some rows of each weight.
        package let loss: UpdateLoss
    }

    /// Weights that got a wider type, since their own keeps too little of the update.
    package struct Widened: Sendable {
        package let before: StorageType
        /// Of `before`, estimated from some rows of each weight; nil where this program does not write it.
        package let loss: UpdateLoss?
        package let after: StorageType
    }

    /// The part of an update that must come through rounding, and the most of it that rounding may change besides: with more a
    /// model answers otherwise than with the adapter.
    package static let enough = 0.9
    package static let drowning = 0.5

    /// In the order of the model.
    package internal(set) var modules: [Module] = []
    package internal(set) var widened: [Widened] = []
    /// The smallest type that keeps the update, where it is not kept.
    package internal(set) var better: Better?

    package var total: UpdateLoss { modules.reduce(UpdateLoss()) { $0 + $1.loss } }

    /// Modules and their loss by the type they are stored as now, the smallest type first.
    package var byType: [(type: StorageType, modules: Int, loss: UpdateLoss)] {
        Set(modules.map(\.type)).map { type in
            let own = modules.filter { $0.type == type }
            return (type, own.count, own.reduce(UpdateLoss()) { $0 + $1.loss })
        }
        .sorted { $0.type.bitsPerNumber < $1.type.bitsPerNumber }
    }
}

extension StorageType {
    var bitsPerNumber: Double { Double(8 * blockBytes) / Double(blockElements) }
}

extension UpdateLoss {
    /// Whether a model with such weights does what the adapter did.
    package var isKept: Bool { kept >= MergeReport.enough && relativeError <= MergeReport.drowning }
}
