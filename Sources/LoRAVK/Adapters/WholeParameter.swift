// What an adapter trains whole, beside the updates of layers: a matrix that PEFT saves as it is (modules_to_save). The head of a
// classifier is one; copies of the model's embedding and output are others. Where those two are one matrix in the model, a copy of one
// leaves the other as it is, as in PEFT.

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

extension Transformer {
    /// The tensors that an adapter can have copies of. An embedding whose sum is normed (BERT's) is none of them.
    private var wholeNames: [String] { embedding.norm == nil ? [embedding.name, head.name] : [] }

    /// Those that modules_to_save names, by the last parts of modules' names.
    func wholeNames(_ modules: [String]) throws(ConfigError) -> [String] {
        for module in modules {
            guard wholeNames.contains(where: { String($0.dropLast(".weight".count)).isModule(named: module) })
            else {
                let known = wholeNames.map { $0.dropLast(".weight".count) }.joined(separator: " and ")
                throw ConfigError(
                    "'\(module.shortened)' cannot be trained whole; of this model \(known) can, all other layers get updates of low rank"
                )
            }
        }
        return wholeNames.filter { name in
            modules.contains { String(name.dropLast(".weight".count)).isModule(named: $0) }
        }
    }

    /// (V, C), padded as the logits are.
    func wholeShape(_ name: String) -> ParameterShape {
        ParameterShape(
            .whole, rows: spec.vocabulary, columns: spec.width,
            storedRows: max(head.paddedVocabulary, (spec.vocabulary + 7) / 8 * 8))
    }

    /// As the model has it.
    func wholeValues(_ name: String) throws -> [Float] {
        let isTied = name == head.name && spec.head.isTied
        let stored = try checkpoint.tensor(isTied ? embedding.name : name)
        return try stored.floats(rows: 0..<stored.rows)
    }
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
