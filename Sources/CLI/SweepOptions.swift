// What an axis of a sweep can change: any option of `train` of the adapter, the objective and the training.

import ArgumentParser
import Checkpoints
import LoRAVK
import Sweeps

struct SweepRunOptions: ParsableArguments {
    @OptionGroup var lora: LoRAOptions
    @OptionGroup var objective: ObjectiveOptions
    @Option(name: [.customLong("lr"), .long]) var learningRate = Defaults.learningRate
    @Option var seed: UInt64 = 0
    @OptionGroup var run: RunOptions

    static let names = OptionNames(of: Self.self)

    /// The options of a run: those of the command line, and in place of some of them the run's own.
    static func of(_ point: SweepPoint?, words: [String], but axes: Set<String>) throws -> Self {
        var all: [String] = []
        for (name, value) in names.options(in: words, but: axes) {
            all.append(value.map { "--\(name)=\($0)" } ?? "--\(name)")
        }
        if let point { all += try point.options.map(Self.word).filter { !$0.isEmpty } }
        do { return try Self.parse(all) } catch let error as ConfigError { throw error } catch {
            throw ConfigError("\(message(for: error)), in the run \(point.map { "\($0.series)" } ?? "")")
        }
    }

    private static func word(_ setting: SweepPoint.Setting) throws -> String {
        guard names[setting.name]?.takesValue == false else { return "--\(setting.name)=\(setting.value)" }
        switch setting.value {
        case "true": return "--\(setting.name)"
        case "false": return ""
        default: throw ConfigError("\(setting.name): '\(setting.value)' is neither true nor false")
        }
    }

    func loraConfig() throws -> LoRAConfig {
        var config = try lora.config(seed: seed)
        config.method.normalize(&config)
        return config
    }

    func runConfig(examples: Int) throws -> RunConfig {
        try run.config(examples: examples, learningRate: learningRate, seed: seed)
    }

    /// As `train` has them, without those that vary.
    func settings(but axes: Set<String>) -> JSON.Object {
        var settings: JSON.Object = [
            "steps": run.steps.map(JSON.integer) ?? .null, "epochs": run.epochs.map(JSON.double) ?? .null,
            "batch-size": .integer(run.batch.batchSize), "accumulate": .integer(run.accumulate),
            "objective": .string(objective.objective), "schedule": .string(run.schedule),
            "warmup": run.warmup.map(JSON.integer) ?? .null, "optimizer": .string(run.optimizer.text),
            "weight-decay": .double(run.weightDecay), "max-grad-norm": .double(run.maxGradNorm),
            "no-shuffle": .bool(run.noShuffle),
            "targets": .string(
                lora.layers.targets.isEmpty
                    ? LayerOptions.allLinear : lora.layers.targets.joined(separator: ",")),
            "alpha": lora.layers.alpha.map(JSON.double) ?? .null, "rslora": .bool(lora.layers.rslora),
            "dropout": .double(lora.layers.dropout ?? Defaults.dropout),
        ]
        settings["module-lr"] =
            lora.layers.moduleRates.isEmpty
            ? .null : .string(lora.layers.moduleRates.joined(separator: ","))
        for name in axes { settings[name] = nil }
        return settings
    }
}

extension SweepPoint {
    /// On this axis kaiming, its default, leaves methods that start in a way of their own to it.
    var options: [Setting] {
        settings.filter { $0.name != "init" || $0.value != LoRAInitialization.kaiming.name }
    }

    /// What makes `train --config` the same run: the command's own options, and the run's.
    func trainOptions(words: [String], but axes: Set<String>) -> JSON.Object {
        var object = JSON.Object()
        for (name, value) in OptionNames(of: Train.self).options(in: words, but: axes.union(["out"])) {
            let value = value.map(Self.json) ?? .bool(true)
            if Self.repeated.contains(name), let first = object[name] {
                let values = if case .array(let values) = first { values } else { [first] }
                object[name] = .array(values + [value])
            } else {
                object[name] = value
            }
        }
        for setting in options { object[setting.name] = Self.json(setting.value) }
        return object
    }

    /// Options of which all that are given hold; of others the last.
    private static let repeated: Set = ["targets", "module-lr"]

    private static func json(_ text: String) -> JSON {
        if text == "true" || text == "false" { return .bool(text == "true") }
        if let whole = Int(text) { return .integer(whole) }
        return Double(text).flatMap { $0.isFinite ? .double($0) : nil } ?? .string(text)
    }
}

/// `2/4`: the second of four parts.
struct SweepPart: ExpressibleByArgument {
    let number: Int
    let count: Int

    init?(argument: String) {
        let sides = argument.split(separator: "/", omittingEmptySubsequences: false).map { Int($0) }
        guard sides.count == 2, let number = sides[0], let count = sides[1], number >= 1, number <= count
        else { return nil }
        (self.number, self.count) = (number, count)
    }

    func of(_ points: [SweepPoint]) throws -> [SweepPoint] {
        let own = points.indices.filter { $0 % count == number - 1 }.map { points[$0] }
        guard !own.isEmpty else {
            throw ConfigError("part \(number)/\(count) of \(points.count) runs is empty; take fewer parts")
        }
        return own
    }
}
