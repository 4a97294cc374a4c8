// How the runs of a sweep are trained: their options, data and memory.

import Checkpoints
import LoRAVK
import Sweeps
import Tokenizer
import VulkanCompute

/// Not thread-safe.
final class SweepPlan {
    /// Those of the command line.
    private let words: [String]
    /// Options that the runs have of their own.
    let axes: Set<String>
    private let formatOptions: FormatOptions
    private let path: String
    private let evalEvery: Int
    private var layouts: [LayoutKey: StepLayout] = [:]

    private struct LayoutKey: Hashable {
        var series: SweepPoint.Series
        var tokensPerPass: Int?
    }

    init(words: [String], axes: Set<String>, formatOptions: FormatOptions, data: String, evalEvery: Int) {
        (self.words, self.axes, self.formatOptions) = (words, axes, formatOptions)
        (path, self.evalEvery) = (data, evalEvery)
    }

    /// What holds for all runs.
    func base() throws -> SweepRunOptions { try .of(nil, words: words, but: axes) }

    private func options(_ point: SweepPoint) throws -> SweepRunOptions {
        try .of(point, words: words, but: axes)
    }

    /// Wrong options are told before a model is loaded.
    func validate(_ points: [SweepPoint]) throws {
        for point in Self.oneOfEachSeries(points) {
            let options = try options(point)
            try options.loraConfig().validate()
            try runConfig(options, examples: 1).validate()
            _ = try (options.run.optimizerConfig, options.objective.named)
        }
    }

    private func runConfig(_ options: SweepRunOptions, examples: Int) throws -> RunConfig {
        var config = try options.runConfig(examples: examples)
        config.validateEvery = evalEvery
        return config
    }

    private static func oneOfEachSeries(_ points: [SweepPoint]) -> [SweepPoint] {
        var seen: Set<SweepPoint.Series> = []
        return points.filter { seen.insert($0.series).inserted }
    }

    // MARK: Data

    struct Data {
        var training: Dataset
        var validation: Dataset?
        var all: [Dataset] { [training, validation].compactMap(\.self) }
    }

    /// By what objectives learn from.
    func datasets(
        _ points: [SweepPoint], _ spec: ModelSpec, _ tokenizer: Tokenizer, date: TemplateDate?
    ) throws -> [String: Data] {
        var sets: [String: Data] = [:]
        for point in Self.oneOfEachSeries(points) {
            let objective = try options(point).objective.named
            guard sets["\(objective.examples)"] == nil else { continue }
            var format = try formatOptions.textFormat(for: spec, objective)
            if let date { format.date = date }
            sets["\(objective.examples)"] = try Interrupt.watching {
                Data(
                    training: try Dataset(path, tokenizer: tokenizer, format: format),
                    validation: Dataset.has(.valid, in: path)
                        ? try Dataset(path, split: .valid, tokenizer: tokenizer, format: format) : nil)
            }
        }
        return sets
    }

    // MARK: One run

    func recipe(
        _ point: SweepPoint, _ folder: String, _ sets: [String: Data], _ checkpoint: Checkpoint,
        _ weights: WeightStorage, _ memory: MemoryOptions, _ device: Device
    ) throws -> Sweeps.Sweep.Recipe {
        let options = try options(point)
        let objective = try options.objective.named
        guard let data = sets["\(objective.examples)"] else { preconditionFailure("no data was read") }
        let (adapter, optimizer) = (try options.loraConfig(), try options.run.optimizerConfig)
        let run = try runConfig(options, examples: data.training.examples.count)
        // How much memory is free may have changed; the passes decide the bits.
        let key = LayoutKey(
            series: point.series, tokensPerPass: TrainingRun.savedTokensPerPass(in: folder))
        let layout =
            try layouts[key]
            ?? memory.layout(
                MemoryPlanner(
                    checkpoint, weights: weights, capabilities: device.capabilities, optimizer: optimizer,
                    objective: objective
                ) {
                    try Adapter.create(for: $0, adapter, examples: data.training.examples.map(\.first))
                }, data.training.sizes, batchSize: run.batchSize, device.capabilities,
                tokensPerPass: key.tokensPerPass)
        layouts[key] = layout
        return Sweeps.Sweep.Recipe(
            adapter, run, optimizer, objective, layout, data: data.training, validation: data.validation,
            options: point.trainOptions(words: words, but: axes))
    }
}
