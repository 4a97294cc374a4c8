// adapter_config.json of a LoRA or VeRA adapter, as PEFT writes it: sorted keys, two spaces. A new one has the
// keys of PEFT 0.17, which later versions read too; those of versions up to 0.21 are known. Keys that are only
// PEFT's business are kept as they came. Keys that change the arithmetic in a way that is not known here, and keys that
// are not known at all, are refused unless they say nothing (null, false, an empty list).

package struct PEFTConfig: Sendable, Equatable {
    package enum TargetModules: Sendable, Equatable {
        /// The last parts of module names: `q_proj`, `mlp.up_proj`.
        case names([String])
        /// A regular expression for whole module names. What it matched is told by the tensors of the
        /// adapter.
        case pattern(String)
    }

    /// A rank or alpha that differs from the default for the modules that `pattern` matches.
    package struct Exception<Value: Sendable & Equatable>: Sendable, Equatable {
        package var pattern: ModulePattern
        package var value: Value

        package init(_ pattern: ModulePattern, _ value: Value) {
            (self.pattern, self.value) = (pattern, value)
        }
    }

    package var kind = Kind.lora
    package var baseModel: String?
    package var taskType: String? = "CAUSAL_LM"
    package var rank: Int
    /// Of VeRA the rank: its update is not scaled.
    package var alpha: Double
    package var dropout = 0.0
    package var targetModules: TargetModules
    package var usesRsLoRA = false
    package var usesDoRA = false
    /// What the entries of VeRA's d start as.
    package var veraStart = 0.1
    /// The seed from which PEFT makes VeRA's matrices.
    package var veraKey = 0
    /// true, false or the name of a way, as PEFT has it.
    package var initialisation = JSON.bool(true)
    package var rankPattern: [Exception<Int>] = []
    package var alphaPattern: [Exception<Double>] = []
    package var modulesToSave: [String] = []
    package var layersToTransform: [Int] = []
    package var inferenceMode = true
    /// The base model's files have the matrices of the adapted layers as (in, out), as GPT-2's do. A and B are not
    /// transposed, so it changes no number here.
    package var fanInFanOut = false
    /// Modules that are left out of the targets.
    package var excludedModules: TargetModules?
    /// A change of the embedding is one of an output tied to it, too.
    package var ensuresWeightTying = false
    /// As read; nil: what PEFT writes for a plain one.
    private var source: JSON.Object?

    package init(rank: Int, alpha: Double, targetModules: TargetModules, baseModel: String? = nil) {
        self.rank = rank
        self.alpha = alpha
        self.targetModules = targetModules
        self.baseModel = baseModel
    }

    package func rank(of module: String) -> Int {
        rankPattern.first { $0.pattern.matches(module) }?.value ?? rank
    }

    package func alpha(of module: String) -> Double {
        alphaPattern.first { $0.pattern.matches(module) }?.value ?? alpha
    }

    /// s in y = W·x + s·B·A·x: α/R, or α/√R for rsLoRA.
    package func scaling(of module: String) -> Double {
        let rank = Double(rank(of: module))
        return alpha(of: module) / (usesRsLoRA ? rank.squareRoot() : rank)
    }
}

extension PEFTConfig {
    package static func read(_ path: String, limits: LoadLimits = .standard) throws(FileError) -> PEFTConfig {
        try PEFTConfig(JSONFields(JSON.read(path, limits: limits), path: path))
    }

    package init(_ fields: JSONFields) throws(FileError) {
        if fields["peft_type"] == nil, fields["model_type"] != nil || fields["architectures"] != nil {
            throw FileError(
                fields.path, "is the configuration of a base model, not of an adapter",
                remedy: "name the folder that holds adapter_config.json and adapter_model.safetensors")
        }
        guard let kind = Kind(rawValue: try fields.string("peft_type")) else {
            throw fields.wrong(
                "peft_type",
                expected: Kind.allCases.map { "\"\($0.rawValue)\"" }.joined(separator: " or ")
                    + ", the kinds of adapters that can be read")
        }
        try PEFTConfig.refuseOtherArithmetic(fields)
        let rank = try fields.integer("r", in: PEFTConfig.ranks)
        self.init(
            rank: rank, alpha: Double(rank), targetModules: try PEFTConfig.requiredTargets(fields),
            baseModel: try fields.optionalString("base_model_name_or_path"))
        self.kind = kind
        let format = kind.format
        source = fields.object
        taskType = try fields.optionalString("task_type")
        dropout = try fields.optionalNumber(format.dropoutKey) ?? 0
        guard 0 <= dropout && dropout < 1 else {
            throw fields.wrong(format.dropoutKey, expected: "a number from 0 to below 1")
        }
        inferenceMode = try fields.optionalBool("inference_mode") ?? true
        fanInFanOut = try fields.optionalBool("fan_in_fan_out") ?? false
        initialisation = try PEFTConfig.initialisation(fields, format.initializationKey)
        modulesToSave = try fields.optionalStrings("modules_to_save") ?? []
        layersToTransform = try PEFTConfig.layers(fields)
        excludedModules = try PEFTConfig.modules(fields, "exclude_modules")
        ensuresWeightTying = try fields.optionalBool("ensure_weight_tying") ?? false
        try format.read(fields, into: &self)
        for value in [alpha] + alphaPattern.map(\.value) where value != 0 {
            // As it is after the division by a rank.
            guard (value / Double(PEFTConfig.ranks.upperBound)).isNormalFloat, value.isNormalFloat else {
                throw FileError(
                    fields.path, "has the alpha \(value), expected \(Double.expectationOfFloats)")
            }
        }
    }

    /// The file PEFT would write.
    package var text: String {
        let format = kind.format
        var object = source ?? format.defaults
        /// A number that did not change stays as it was spelled: 8 and 8.0 are different bytes.
        func set(_ key: String, _ value: JSON) {
            if let old = object[key], old.equalsNumerically(value) { return }
            object[key] = value
        }
        /// Nor does a list: none may be null or [], one layer may stand alone.
        func setList(_ key: String, _ values: [JSON]) {
            let spellings = [.array(values)] + (values.isEmpty ? [.null] : values.count == 1 ? values : [])
            if let old = object[key], spellings.contains(old) { return }
            object[key] = values.isEmpty ? .null : .array(values)
        }
        set("peft_type", .string(kind.rawValue))
        set("base_model_name_or_path", baseModel.map { .string($0) } ?? .null)
        set("task_type", taskType.map { .string($0) } ?? .null)
        set("r", .integer(rank))
        set(format.dropoutKey, .double(dropout))
        switch targetModules {
        case .names(let names): set("target_modules", .array(names.map { .string($0) }))
        case .pattern(let pattern): set("target_modules", .string(pattern))
        }
        set("inference_mode", .bool(inferenceMode))
        set("fan_in_fan_out", .bool(fanInFanOut))
        set(format.initializationKey, initialisation)
        setList("modules_to_save", modulesToSave.map { .string($0) })
        setList("layers_to_transform", layersToTransform.map { .integer($0) })
        format.write(self, set)
        return JSON.object(object).sorted().text(.python)
    }

    static let ranks = 1...(1 << 16)

    /// Whether `exclude_modules` means a module: names as in the targets, or an expression for the whole name.
    func excludes(_ module: String, _ path: String) throws(FileError) -> Bool {
        switch excludedModules {
        case nil: false
        case .names(let names): names.contains(where: module.isModule)
        case .pattern(let text): try ModulePattern("^(\(text))", path: path).matches(module)
        }
    }

    private static func requiredTargets(_ fields: JSONFields) throws(FileError) -> TargetModules {
        guard let targets = try modules(fields, "target_modules") else {
            throw fields.wrong(
                "target_modules", expected: "the names of the modules that the adapter changes")
        }
        return targets
    }

    private static func modules(_ fields: JSONFields, _ key: String) throws(FileError) -> TargetModules? {
        if case .string(let pattern) = fields[key] { return .pattern(pattern) }
        guard let names = try fields.optionalStrings(key), !names.isEmpty else { return nil }
        return .names(names)
    }

    private static func layers(_ fields: JSONFields) throws(FileError) -> [Int] {
        let key = "layers_to_transform"
        if case .integer(let layer) = fields[key] { return [layer] }
        var layers: [Int] = []
        for value in try fields.optionalArray(key) ?? [] {
            guard case .integer(let layer) = value else {
                throw fields.wrong(key, holding: value, expected: "numbers of layers")
            }
            layers.append(layer)
        }
        return layers
    }

    /// These change the base model's weights when PEFT loads the adapter; the plain base would give other
    /// answers.
    private static func initialisation(_ fields: JSONFields, _ key: String) throws(FileError) -> JSON {
        switch fields[key] {
        case nil: return .bool(true)
        case .bool(let flag): return .bool(flag)
        case .string(let name):
            guard
                !["pissa", "olora", "corda", "loftq", "lora_ga"].contains(where: name.lowercased().hasPrefix)
            else {
                throw fields.wrong(
                    key, expected: "a way that leaves the base model's weights as they are",
                    remedy:
                        "save it as a plain LoRA, with PEFT's path_initial_model_for_weight_conversion"
                )
            }
            return .string(name)
        default: throw fields.wrong(key, expected: "true, false or a name")
        }
    }

    private static func refuseOtherArithmetic(_ fields: JSONFields) throws(FileError) {
        if let bias = try fields.optionalString("bias"), bias != "none" {
            throw fields.wrong("bias", expected: "\"none\": trained biases are not supported")
        }
        let unsupported = [
            "alora_invocation_tokens", "arrow_config", "kasa_config", "layer_replication", "lora_bias",
            "megatron_config", "monteclora_config", "target_parameters", "trainable_token_indices",
            "use_bdlora", "use_qalora",
        ]
        func saysNothing(_ key: String) -> Bool {
            [nil, .bool(false), .array([]), .object([:])].contains(fields[key])
        }
        for key in unsupported where !saysNothing(key) {
            throw fields.wrong(
                key, expected: "none: it is not supported",
                remedy: key == "target_parameters"
                    ? "experts' own matrices cannot have adapters here: train with the attention's layers as target_modules"
                    : nil)
        }
        let formats = Kind.allCases.map(\.format.defaults)
        for key in fields.object.keys where !laterKeys.contains(key) && !saysNothing(key) {
            if formats.contains(where: { $0[key] != nil }) { continue }
            throw fields.wrong(
                key.shortened, expected: "none: no such key of PEFT's is known",
                remedy: "take the key out of the file if it does not change what the adapter computes")
        }
    }

    /// What PEFT 0.21 writes beside the keys of 0.17: how it was trained, or what is refused unless it is none.
    private static let laterKeys: Set = [
        "alora_invocation_tokens", "arrow_config", "ensure_weight_tying", "kasa_config", "lora_ga_config",
        "monteclora_config", "peft_version", "use_bdlora", "velora_config",
    ]
}

extension JSON {
    /// Equal, were every number a Double and no object ordered.
    fileprivate func equalsNumerically(_ other: JSON) -> Bool {
        switch (self, other) {
        case (.integer(let a), .double(let b)), (.double(let b), .integer(let a)): Double(a) == b
        case (.object(let a), .object(let b)):
            a.count == b.count
                && a.members.allSatisfy { b[$0.key].map($0.value.equalsNumerically) ?? false }
        default: self == other
        }
    }
}
