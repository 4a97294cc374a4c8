// A whole run on a data file or on rows in memory, of loravk.h.

import CLoRAVK
import Checkpoints
import LoRAVK
import Tokenizer
import VulkanCompute

@c @implementation public func loravk_trainer_run(
    _ handle: OpaquePointer!, _ config: UnsafePointer<loravk_run_config>!,
    _ result: UnsafeMutablePointer<loravk_run_result>!
) -> loravk_status {
    trainerCall(handle) { trainer in
        let config = try read(try required(config, "config"), defaults: .defaults)
        try checkRoom(result)
        let source = try read(try required(config.data, "config.data"), defaults: .defaults)
        let output = try optionalText(config.output, "config.output")
        let saved = config.resume ? output.flatMap(TrainingRun.savedDate) : nil
        let date = saved ?? .now()
        let stopSlot = trainer.stopSlot
        let labels = trainer.adapter.adapter.head?.names
        do {
            let (data, validation) = try Interruption.during(
                isRequested: { StopFlags.isRequested(stopSlot) }
            ) {
                (
                    try trainer.model.dataset(
                        source, .train, trainer.trainer.objective, date: date, labels: labels),
                    try trainer.model.validation(config, source, trainer.trainer.objective, date, labels)
                )
            }
            let sampler = try trainer.model.sampler(config, date)
            let summary = try trainer.run { try trainer.train(config, data, validation, sampler) }
            try give(summary, to: result)
        } catch is FileError where StopFlags.isRequested(stopSlot) {
            // Before the first step: nothing was trained, nothing is saved.
            StopFlags.clear(stopSlot)
            var summary = loravk_run_result()
            (summary.loss, summary.validation_loss, summary.best_validation_loss) = (.nan, .nan, .nan)
            (summary.stopped, summary.ending) = (true, loravk_run_ending(LORAVK_RUN_STOPPED))
            try give(summary, to: result)
        }
    }
}

extension ModelObject {
    /// The validation data that is named, or that lies beside the training data.
    fileprivate func validation(
        _ config: loravk_run_config, _ source: loravk_data_config, _ objective: any Objective,
        _ date: TemplateDate, _ labels: [String]?
    ) throws -> Dataset? {
        if let own = config.validation {
            return try dataset(
                try read(own, defaults: .defaults), .valid, objective, date: date, labels: labels)
        }
        guard let path = try optionalText(source.path, "data.path"), Dataset.has(.valid, in: path) else {
            return nil
        }
        return try dataset(source, .valid, objective, date: date, labels: labels)
    }
}

extension TrainerObject {
    /// Inside the context's lock, which callbacks are called without.
    fileprivate func train(
        _ config: loravk_run_config, _ data: Dataset, _ validation: Dataset?, _ sampler: RunSampler?
    ) throws -> loravk_run_result {
        let settings = try RunConfig(config, examples: data.examples.count, learningRate: learningRate)
        let longest = min(
            data.longestBatch(of: settings.batchSize), max(settings.tokensPerPass, data.longestBatch(of: 1)))
        try model.requireFits(tokens: longest)
        if let validation { try model.requireFits(tokens: validation.longestBatch(of: 1)) }
        let run = try TrainingRun(
            trainer, data: data, validation: validation, sampler: sampler, config: settings,
            folder: try optionalText(config.output, "config.output"), overwrites: config.overwrite,
            resumes: config.resume)
        var summary = loravk_run_result()
        summary.steps = Int64(run.firstStep)
        (summary.loss, summary.validation_loss) = (.nan, .nan)
        summary.best_validation_loss = .nan
        var stopped = false
        let context = model.context
        let outcome = try run.run(
            shouldStop: { stopped || StopFlags.isRequested(stopSlot) },
            onProgress: { progress in
                summary.steps = Int64(progress.step)
                summary.loss = progress.report.loss
                if let loss = progress.validationLoss { summary.validation_loss = loss }
                context.unlocked { config.tell(progress.samples, at: progress.step) }
                guard let callback = config.on_progress else { return }
                var told = loravk_progress(progress)
                let metrics = loravk_metric.all(progress.report.metrics)
                let validation = progress.validation.map { loravk_metric.all($0.metrics) } ?? []
                let goesOn = metrics.withUnsafeBufferPointer { metrics in
                    validation.withUnsafeBufferPointer { validation in
                        (told.metrics, told.metric_count) = (metrics.baseAddress, metrics.count)
                        (told.validation_metrics, told.validation_metric_count) = (
                            validation.baseAddress, validation.count
                        )
                        return context.unlocked { callback(config.user_data, &told) }
                    }
                }
                if !goesOn { stopped = true }
            },
            onSave: { step, folder in
                guard let callback = config.on_save else { return }
                context.unlocked { folder.withCString { callback(config.user_data, Int64(step), $0) } }
            },
            onWarning: { warning in
                context.unlocked {
                    guard let callback = config.on_warning else { return Logs.warn(warning) }
                    warning.withCString { callback(config.user_data, $0) }
                }
            })
        context.device.savePipelines()
        summary.stopped = !outcome.isEnd
        summary.ending = loravk_run_ending(outcome)
        if let best = run.bestValidation {
            (summary.best_step, summary.best_validation_loss) = (Int64(best.step), best.loss)
        }
        return summary
    }
}

extension loravk_run_ending {
    fileprivate init(_ outcome: RunOutcome) {
        let ending =
            switch outcome {
            case .finished: LORAVK_RUN_FINISHED
            case .stopped: LORAVK_RUN_STOPPED
            case .outOfPatience: LORAVK_RUN_PATIENCE
            case .timeIsUp: LORAVK_RUN_TIME
            }
        self = Self(ending)
    }
}

extension loravk_run_config {
    fileprivate func tell(_ samples: [Sample], at step: Int) {
        guard let on_sample else { return }
        for sample in samples {
            sample.prompt.withCString { prompt in
                sample.answer.withCString { on_sample(user_data, Int64(step), prompt, $0) }
            }
        }
    }
}

extension ModelObject {
    fileprivate func sampler(_ config: loravk_run_config, _ date: TemplateDate) throws -> RunSampler? {
        let prompts = try texts(config.sample_prompts, config.sample_count, "config.sample_prompts")
        guard !prompts.isEmpty else { return nil }
        return try RunSampler(
            prompts, tokenizer(), maxTokens: Int(config.sample_tokens), date: date)
    }
}

extension RunConfig {
    fileprivate init(_ config: loravk_run_config, examples: Int, learningRate: Double) throws {
        self.init()
        batchSize = Int(config.batch_size)
        accumulation = Int(config.accumulation)
        let epochs = config.epochs == 0 ? nil : config.epochs
        steps = try RunConfig.steps(
            epochs == nil && config.steps != 0 ? Int(config.steps) : nil, epochs: epochs, examples: examples,
            batchSize: batchSize, accumulation: accumulation)
        saveEvery = Int(config.save_every)
        validateEvery = Int(config.validate_every)
        keptCheckpoints = Int(config.keep_checkpoints)
        keepsBest = config.keep_best
        (patience, minImprovement) = (Int(config.patience), config.min_improvement)
        maxSeconds = config.max_seconds == 0 ? nil : config.max_seconds
        guard config.tokens_per_pass >= 0 else {
            throw APIError.argument("config.tokens_per_pass is \(config.tokens_per_pass); 0 is no limit")
        }
        tokensPerPass = config.tokens_per_pass == 0 ? .max : Int(config.tokens_per_pass)
        seed = config.seed
        shuffles = !config.no_shuffle
        let named = try optionalText(config.schedule, "config.schedule").map(Registries.schedules.named)
        let shape = named ?? Defaults.schedule
        schedule = Schedule(
            shape, learningRate: learningRate,
            warmupSteps: config.warmup_steps == -1
                ? Defaults.warmup(steps: steps) : Int(config.warmup_steps),
            steps: steps)
        try validate()
    }
}

extension loravk_progress {
    fileprivate init(_ progress: RunProgress) {
        self.init()
        struct_size = MemoryLayout<Self>.size
        step = Int64(progress.step)
        steps = Int64(progress.steps)
        loss = progress.report.loss
        grad_norm = progress.report.gradientNorm
        learning_rate = progress.learningRate
        seconds = progress.report.seconds
        tokens_per_second = progress.tokensPerSecond
        seconds_left = progress.secondsLeft ?? .nan
        validation_loss = progress.validationLoss ?? .nan
        tokens = Int64(progress.report.tokens)
        counted_tokens = Int64(progress.report.countedTokens)
    }
}
