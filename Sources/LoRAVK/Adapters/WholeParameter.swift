// What an adapter trains whole, beside the updates of layers: a matrix that PEFT saves as it is (modules_to_save). The head of a
// classifier is one.

import Checkpoints

package struct WholeParameter: Sendable {
    /// In the model with the adapter: `score.weight`.
    package let name: String
    package let parameter: AdapterParameter

    /// In PEFT's files.
    package var key: String { AdapterFiles.key(saved: name) }
}

extension Adapter.Part {
    package static let whole = Adapter.Part("weight")
}

extension ScoreHead {
    /// W (K, C), padded to a multiple of 8 rows, which stay zero.
    func shape(width: Int) -> ParameterShape {
        ParameterShape(.whole, rows: outputs, columns: width, storedRows: paddedOutputs)
    }

    /// Kp, of a row of scores.
    package var paddedOutputs: Int { (outputs + 7) / 8 * 8 }

    /// The deviation of transformers' new heads (`initializer_range`).
    static let deviation = 0.02

    /// W of a new head, by a seed. It takes nothing from the numbers with which the layers start.
    func start(width: Int, seed: UInt64) -> [Float] {
        var random = RandomNumbers(seed: seed ^ 0x5c0e_4ead)
        return normal(outputs * width, deviation: Self.deviation, &random)
    }

    /// Writes into PEFT's config that there is a head.
    func describe(_ peft: inout PEFTConfig) {
        peft.taskType = Self.taskType
        if !peft.modulesToSave.contains(Self.module) { peft.modulesToSave.append(Self.module) }
    }
}
