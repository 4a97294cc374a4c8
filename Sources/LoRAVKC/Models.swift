// Chapter "Models" of loravk.h.

import CLoRAVK
import Checkpoints
import Glibc
import LoRAVK
import Tokenizer
import VulkanCompute

/// C strings that live as long as this.
final class CStrings: @unchecked Sendable {
    private let pointers: [UnsafeMutablePointer<CChar>?]

    init(_ strings: [String]) { pointers = strings.map { strdup($0) } }

    deinit { for pointer in pointers { free(pointer) } }

    var count: Int { pointers.count }
    subscript(index: Int) -> UnsafePointer<CChar>? { pointers[index].map { UnsafePointer($0) } }
}

/// Used inside its context's lock; what it holds never changes.
final class ModelObject: HandleObject, @unchecked Sendable {
    static let kind = "a model"
    let context: Context
    let model: Transformer
    let linearNames: CStrings
    private var loadedTokenizer: Tokenizer?

    init(_ context: Context, _ model: Transformer) {
        (self.context, self.model) = (context, model)
        linearNames = CStrings(model.linears.map(\.name))
    }

    func tokenizer() throws -> Tokenizer {
        if let loadedTokenizer { return loadedTokenizer }
        let tokenizer = try Tokenizer.load(for: model.checkpoint)
        tokenizer.warnings.forEach(Logs.warn)
        loadedTokenizer = tokenizer
        return tokenizer
    }

    /// Examples of tokens and labels that lie behind each other, checked against the model and the device.
    func examples(
        _ tokens: UnsafePointer<Int32>?, _ labels: UnsafePointer<Int32>?, _ lengths: SequenceLengths
    ) throws -> [Example] {
        try requireFits(tokens: lengths.total)
        let tokens = try array(tokens, lengths.total, "tokens")
        let labels = try labels.map { try array($0, lengths.total, "labels") }
        var start = 0
        return try lengths.each.map { length in
            let range = start..<start + length
            start += length
            let example = Example(
                tokens: Array(tokens[range]), labels: labels.map { Array($0[range]) })
            try model.check(example)
            return example
        }
    }

    func requireFits(tokens: Int) throws {
        try LoRAVKC.requireFits(tokens: tokens, model.spec, model.device.capabilities)
    }
}

/// Tokens of each sequence, and of all together.
struct SequenceLengths {
    let each: [Int]
    let total: Int
}

/// (B, T): sequences of one length.
func rectangle(_ batch: Int, _ length: Int) throws -> SequenceLengths {
    let total = try product([batch, length], "tokens")
    guard total > 0 else {
        throw APIError.argument("tokens has the shape (\(batch), \(length)); there are none")
    }
    // More sequences than tokens fit a device are refused before they are listed.
    guard total <= Int(Int32.max) else {
        throw APIError.argument("tokens has the shape (\(batch), \(length)); at most \(Int32.max) are taken")
    }
    return SequenceLengths(each: [Int](repeating: length, count: batch), total: total)
}

func ragged(_ lengths: UnsafePointer<Int32>?, _ sequences: Int) throws -> SequenceLengths {
    let each = try array(lengths, sequences, "lengths").map { Int($0) }
    guard !each.isEmpty else { throw APIError.argument("there are no sequences") }
    if let index = each.firstIndex(where: { $0 < 1 }) {
        throw APIError.argument("lengths[\(index)] is \(each[index]); a sequence has at least one token")
    }
    return SequenceLengths(each: each, total: each.reduce(0, +))
}

/// Refuses what activations would need more than one piece of memory for.
func requireFits(tokens: Int, _ spec: ModelSpec, _ capabilities: Capabilities) throws {
    let attention = spec.attentions.map { $0.heads * $0.headSize }.max() ?? 1
    let widest = max(spec.widest, attention)
    let most = min(
        capabilities.maxAllocation / (widest * 4), capabilities.maxStorageBufferRange / (attention * 4))
    guard tokens <= most else {
        throw APIError(
            LORAVK_ERROR_UNSUPPORTED,
            "\(tokens) tokens at a time; this model on this device can have \(most): use smaller batches")
    }
}

func modelObject(_ handle: OpaquePointer?) throws -> ModelObject {
    try Handles.object(handle, ModelObject.self, "model")
}

/// NULL is no adapter.
func optionalAdapter(_ handle: OpaquePointer?, of model: ModelObject) throws -> Adapter? {
    guard let handle else { return nil }
    let adapter = try adapterObject(handle)
    guard adapter.model === model else {
        throw APIError.argument("the adapter belongs to another model")
    }
    return adapter.adapter
}

@c @implementation public func loravk_model_load(
    _ handle: OpaquePointer!, _ path: UnsafePointer<CChar>!, _ config: UnsafePointer<loravk_model_config>!,
    _ model: UnsafeMutablePointer<OpaquePointer?>!
) -> loravk_status {
    call {
        let context = try context(handle)
        let output = try Output(model, "model")
        let path = try text(path, "path")
        let config = try read(config, defaults: .defaults)
        let weights = try weightStorage(config.weights)
        let checkpoint = try Checkpoint.open(path: path)
        let loaded = try context.locked {
            var goesOn = true
            let progress: Transformer.Progress = { done, total in
                guard goesOn, let callback = config.on_progress else { return }
                goesOn = context.unlocked { callback(config.user_data, Int64(done), Int64(total)) }
            }
            let model = try Transformer.load(
                checkpoint, device: context.device, weights: weights, progress: progress)
            guard goesOn else {
                throw APIError(LORAVK_ERROR_INVALID_STATE, "on_progress gave up loading \(path)")
            }
            return model
        }
        output.give(ModelObject(context, loaded))
    }
}

func weightStorage(_ name: UnsafePointer<CChar>?) throws -> WeightStorage {
    let name = try optionalText(name, "config.weights") ?? WeightStorage.auto.rawValue
    return try named(name, WeightStorage.self, "config.weights")
}

/// A case by its name; unknown ones are told which there are.
func named<Case: RawRepresentable & CaseIterable>(
    _ name: String, _ type: Case.Type, _ setting: String
) throws -> Case where Case.RawValue == String {
    guard let found = Case(rawValue: name) else {
        throw APIError.argument(
            "\(setting) is '\(name)'; there are \(Case.allCases.map(\.rawValue).joined(separator: ", "))")
    }
    return found
}

@c @implementation public func loravk_model_release(_ model: OpaquePointer!) {
    Handles.release(model, ModelObject.self)
}

@c @implementation public func loravk_model_get_info(
    _ handle: OpaquePointer!, _ info: UnsafeMutablePointer<loravk_model_info>!
) -> loravk_status {
    call {
        let model = try modelObject(handle).model
        try write(loravk_model_info(model.checkpoint, weightBytes: model.weightByteCount), to: info)
    }
}

extension loravk_model_info {
    init(_ checkpoint: Checkpoint, weightBytes: Int) {
        let spec = checkpoint.spec
        self.init()
        vocab_size = Int32(spec.vocabulary)
        hidden_size = Int32(spec.width)
        intermediate_size = Int32(spec.feedForward)
        layers = Int32(spec.blocks.count)
        if let attention = spec.attentions.first {
            heads = Int32(attention.heads)
            kv_heads = Int32(attention.kvHeads)
            head_size = Int32(attention.headSize)
        }
        context_length = Int32(spec.contextLength)
        weight_bytes = Int64(weightBytes)
        copy(spec.modelType, into: &model_type)
        parameters = Int64(checkpoint.tensors.reduce(0) { $0 + $1.count })
    }
}

@c @implementation public func loravk_model_linear_count(
    _ handle: OpaquePointer!, _ count: UnsafeMutablePointer<Int>!
) -> loravk_status {
    call { try required(count, "count").pointee = try modelObject(handle).linearNames.count }
}

@c @implementation public func loravk_model_get_linear_name(
    _ handle: OpaquePointer!, _ index: Int, _ name: UnsafeMutablePointer<UnsafePointer<CChar>?>!
) -> loravk_status {
    call {
        let names = try modelObject(handle).linearNames
        guard (0..<names.count).contains(index) else {
            throw APIError.argument(
                "there is no linear layer \(UInt(bitPattern: index)); there are \(names.count)")
        }
        try required(name, "name").pointee = names[index]
    }
}

@c @implementation public func loravk_model_get_tokenizer(
    _ handle: OpaquePointer!, _ tokenizer: UnsafeMutablePointer<OpaquePointer?>!
) -> loravk_status {
    call {
        let model = try modelObject(handle)
        let output = try Output(tokenizer, "tokenizer")
        output.give(TokenizerObject(try model.context.locked { try model.tokenizer() }))
    }
}

@c @implementation public func loravk_model_logits(
    _ handle: OpaquePointer!, _ adapter: OpaquePointer!, _ tokens: UnsafePointer<Int32>!, _ batch: Int,
    _ length: Int, _ logits: UnsafeMutablePointer<Float>!, _ count: Int
) -> loravk_status {
    call {
        let object = try modelObject(handle)
        try object.logits(
            optionalAdapter(adapter, of: object), tokens, rectangle(batch, length), logits, count)
    }
}

@c @implementation public func loravk_model_logits_ragged(
    _ handle: OpaquePointer!, _ adapter: OpaquePointer!, _ tokens: UnsafePointer<Int32>!,
    _ lengths: UnsafePointer<Int32>!, _ sequences: Int, _ logits: UnsafeMutablePointer<Float>!, _ count: Int
) -> loravk_status {
    call {
        let object = try modelObject(handle)
        try object.logits(
            optionalAdapter(adapter, of: object), tokens, ragged(lengths, sequences), logits, count)
    }
}

extension ModelObject {
    /// (N, V).
    fileprivate func logits(
        _ adapter: Adapter?, _ tokens: UnsafePointer<Int32>?, _ lengths: SequenceLengths,
        _ logits: UnsafeMutablePointer<Float>?, _ count: Int
    ) throws {
        let vocabulary = model.spec.vocabulary
        let needed = try product([lengths.total, vocabulary], "logits")
        guard count == needed else {
            throw APIError.argument(
                "count is \(UInt(bitPattern: count)); logits of \(lengths.total) tokens and a vocabulary of "
                    + "\(vocabulary) are \(needed)")
        }
        let examples = try examples(tokens, nil, lengths)
        var at = try required(logits, "logits")
        try context.locked {
            let evaluator = try Evaluator(model, adapter)
            // As many positions at a time as their logits fit a piece of memory.
            let step = max(1, (64 << 20) / (vocabulary * 4))
            for example in examples {
                for start in stride(from: 0, to: example.tokens.count, by: step) {
                    let positions = Array(start..<min(start + step, example.tokens.count))
                    for row in try evaluator.logits(example.tokens, at: positions) {
                        at.update(from: row, count: vocabulary)
                        at += vocabulary
                    }
                }
            }
        }
    }
}

// MARK: Evaluation

@c @implementation public func loravk_model_evaluate(
    _ handle: OpaquePointer!, _ adapter: OpaquePointer!, _ tokens: UnsafePointer<Int32>!,
    _ labels: UnsafePointer<Int32>!, _ batch: Int, _ length: Int,
    _ evaluation: UnsafeMutablePointer<loravk_evaluation>!
) -> loravk_status {
    call {
        let object = try modelObject(handle)
        let adapter = try optionalAdapter(adapter, of: object)
        let examples = try object.examples(tokens, labels, rectangle(batch, length))
        try evaluate(object, adapter, Dataset(examples: examples), evaluation) { _ in true }
    }
}

@c @implementation public func loravk_model_evaluate_ragged(
    _ handle: OpaquePointer!, _ adapter: OpaquePointer!, _ tokens: UnsafePointer<Int32>!,
    _ labels: UnsafePointer<Int32>!, _ lengths: UnsafePointer<Int32>!, _ sequences: Int,
    _ evaluation: UnsafeMutablePointer<loravk_evaluation>!
) -> loravk_status {
    call {
        let object = try modelObject(handle)
        let adapter = try optionalAdapter(adapter, of: object)
        let examples = try object.examples(tokens, labels, ragged(lengths, sequences))
        try evaluate(object, adapter, Dataset(examples: examples), evaluation) { _ in true }
    }
}

@c @implementation public func loravk_model_token_losses(
    _ handle: OpaquePointer!, _ adapter: OpaquePointer!, _ tokens: UnsafePointer<Int32>!,
    _ labels: UnsafePointer<Int32>!, _ lengths: UnsafePointer<Int32>!, _ sequences: Int,
    _ losses: UnsafeMutablePointer<Float>!, _ count: Int
) -> loravk_status {
    call {
        let object = try modelObject(handle)
        let adapter = try optionalAdapter(adapter, of: object)
        let lengths = try ragged(lengths, sequences)
        guard count == lengths.total else {
            throw APIError.argument(
                "count is \(UInt(bitPattern: count)); losses of these sequences are \(lengths.total)")
        }
        let examples = try object.examples(tokens, labels, lengths)
        let losses = try required(losses, "losses")
        let found = try object.context.locked {
            try Evaluator(object.model, adapter).tokenLosses(examples)
        }
        losses.update(from: found, count: found.count)
    }
}

@c @implementation public func loravk_model_evaluate_data(
    _ handle: OpaquePointer!, _ adapter: OpaquePointer!, _ data: UnsafePointer<loravk_data_config>!,
    _ evaluation: UnsafeMutablePointer<loravk_evaluation>!
) -> loravk_status {
    call {
        let object = try modelObject(handle)
        let adapter = try optionalAdapter(adapter, of: object)
        let config = try read(try required(data, "data"), defaults: .defaults)
        let objective = try objective(config.objective, "data.objective") ?? CausalLM()
        try object.model.spec.check(objective)
        let data = try object.dataset(config, .valid, objective, labels: adapter?.head?.names)
        let total = Int64(data.examples.count)
        try evaluate(object, adapter, data, evaluation, objective: objective) { done in
            config.on_progress.map { $0(config.user_data, Int64(done), total) } ?? true
        }
    }
}

private func evaluate(
    _ object: ModelObject, _ adapter: Adapter?, _ data: Dataset,
    _ evaluation: UnsafeMutablePointer<loravk_evaluation>?, objective: any Objective = CausalLM(),
    onProgress: (Int) -> Bool
) throws {
    try checkRoom(try required(evaluation, "evaluation"))
    try object.requireFits(tokens: data.longestBatch(of: 1))
    var goesOn = true
    let report = try object.context.locked {
        let evaluator = try Evaluator(object.model, adapter, objective: objective)
        return try evaluator.evaluate(
            try evaluator.compared(data), shouldStop: { !goesOn },
            onProgress: { done in goesOn = object.context.unlocked { onProgress(done) } })
    }
    guard goesOn else { throw APIError(LORAVK_ERROR_INVALID_STATE, "on_progress gave up the evaluation") }
    var result = loravk_evaluation()
    result.loss = report.loss
    result.counted_tokens = Int64(report.countedTokens)
    result.correct = Int64(report.correct)
    result.examples = Int64(data.examples.count)
    result.correct_examples = Int64(report.correctExamples)
    result.set(loravk_metric.all(report.metrics))
    try write(result, to: evaluation)
}

@c @implementation public func loravk_model_feature_norms(
    _ handle: OpaquePointer!, _ adapter: OpaquePointer!, _ tokens: UnsafePointer<Int32>!, _ batch: Int,
    _ length: Int, _ norms: UnsafeMutablePointer<loravk_feature_norms>!
) -> loravk_status {
    call {
        let object = try modelObject(handle)
        let adapter = try adapterObject(adapter)
        guard adapter.model === object else {
            throw APIError.argument("the adapter belongs to another model")
        }
        let examples = try object.examples(tokens, nil, rectangle(batch, length))
        let method = adapter.adapter.method
        guard adapter.adapter.layers.contains(where: { method.lowRank($0) != nil }) else {
            throw APIError(
                LORAVK_ERROR_UNSUPPORTED,
                "the method '\(method.description)' has no low-rank term, whose features these are")
        }
        try checkRoom(try required(norms, "norms"))
        let found = try object.context.locked {
            try Evaluator(object.model, adapter.adapter).featureNorms(examples)
        }
        guard let found else {
            throw APIError.argument(
                "(\(batch), \(length)) are too few tokens to look at features: give at least 32, in rows of several"
            )
        }
        var result = loravk_feature_norms()
        (result.z_a, result.z_b) = (found.zA, found.zB)
        try write(result, to: norms)
    }
}

extension Dataset {
    /// Tokens of the `size` longest examples.
    func longestBatch(of size: Int) -> Int {
        examples.map(\.tokens.count).sorted(by: >).prefix(size).reduce(0, +)
    }
}

extension ModelObject {
    /// `date`: what chat templates take for today.
    func dataset(
        _ config: loravk_data_config, _ split: Dataset.Split, _ objective: any Objective = CausalLM(),
        date: TemplateDate = .now(), labels: [String]? = nil
    ) throws -> Dataset {
        if let own = try LoRAVKC.objective(config.objective, "data.objective"),
            own.description != objective.description
        {
            throw APIError.argument(
                "data.objective is \(own.description), and the objective is \(objective.description)")
        }
        guard config.max_tokens >= 2 else {
            throw APIError.argument("data.max_tokens is \(config.max_tokens); it must be 2 or more")
        }
        var format = TextFormat()
        (format.kind, format.labels) = (objective.examples, labels)
        format.name = try optionalText(config.format, "data.format")
        format.promptTemplate = try optionalText(config.prompt_template, "data.prompt_template")
        format.completionTemplate = try optionalText(config.completion_template, "data.completion_template")
        format.learnsPrompts = config.learn_prompts
        format.appendsEndOfText = !config.no_end
        format.maxTokens = Int(config.max_tokens)
        try format.fit(model.checkpoint)
        format.date = date
        let tokenizer = try context.locked { try self.tokenizer() }
        guard config.rows != nil || config.row_count > 0 else {
            return try Dataset(
                try text(config.path, "data.path"), split: split, tokenizer: tokenizer, format: format)
        }
        guard config.path == nil else {
            throw APIError.argument("data has a path and rows; give one of them")
        }
        let rows = try texts(config.rows, config.row_count, "data.rows")
        do {
            return try Dataset(rows: rows, named: "data.rows", tokenizer: tokenizer, format: format)
        } catch let error as FileError where error.path.hasPrefix("data.rows") {
            throw APIError.argument(error.description)
        }
    }
}
