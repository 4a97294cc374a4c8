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

    /// The error, as a part of the update, above which a report warns, and at which a type is good enough.
    package static let drowning = 0.5
    package static let fine = 0.1

    /// In the order of the model.
    package internal(set) var modules: [Module] = []
    /// A type that would lose much less, where the update drowns.
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
    fileprivate var bitsPerNumber: Double { Double(8 * blockBytes) / Double(blockElements) }
}
