// adapter_config.json of a LoRA or VeRA adapter, as PEFT writes it: sorted keys, two spaces. A new one has the
// keys of PEFT 0.17, which later versions read too; those of versions up to 0.21 are known. Keys that are only
// PEFT's business or unknown are kept as they came; keys that would change the arithmetic in a way not known
// here are refused.

package struct PEFTConfig: Sendable, Equatable {
    package enum Kind: String, CaseIterable, Sendable {
        case lora = "LORA"
        case vera = "VERA"

        package var name: String { self == .lora ? "LoRA" : "VeRA" }
        fileprivate var dropoutKey: String { self == .lora ? "lora_dropout" : "vera_dropout" }
        fileprivate var initialisationKey: String { self == .lora ? "init_lora_weights" : "init_weights" }
    }

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
    /// Keys of the file that this program does not know; they are kept when the config is written again.
    package private(set) var unknownKeys: [String] = []
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

    /// One sentence for each thing in the file that was kept but not understood.
    package var warnings: [String] {
        unknownKeys.map { "adapter_config.json: the key '\($0.shortened)' is not known and was ignored" }
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
                "peft_type", expected: "\"LORA\" or \"VERA\", the kinds of adapters that can be read")
        }
        try PEFTConfig.refuseOtherArithmetic(fields)
        let rank = try fields.integer("r", in: PEFTConfig.ranks)
        self.init(
            rank: rank, alpha: kind == .lora ? try fields.positiveNumber("lora_alpha") : Double(rank),
            targetModules: try PEFTConfig.targetModules(fields),
            baseModel: try fields.optionalString("base_model_name_or_path"))
        self.kind = kind
        source = fields.object
        unknownKeys = fields.object.keys.filter {
            PEFTConfig.defaults(kind)[$0] == nil && !PEFTConfig.laterKeys.contains($0)
        }
        taskType = try fields.optionalString("task_type")
        dropout = try fields.optionalNumber(kind.dropoutKey) ?? 0
        guard 0 <= dropout && dropout < 1 else {
            throw fields.wrong(kind.dropoutKey, expected: "a number from 0 to below 1")
        }
        if kind == .vera {
            veraStart = try fields.optionalNumber("d_initial") ?? veraStart
            veraKey = try fields.optionalInteger("projection_prng_key") ?? veraKey
        }
        usesRsLoRA = try fields.optionalBool("use_rslora") ?? false
        usesDoRA = try fields.optionalBool("use_dora") ?? false
        inferenceMode = try fields.optionalBool("inference_mode") ?? true
        initialisation = try PEFTConfig.initialisation(fields, kind.initialisationKey)
        modulesToSave = try fields.optionalStrings("modules_to_save") ?? []
        layersToTransform = try PEFTConfig.layers(fields)
        if let ranks = try fields.optionalFields("rank_pattern") {
            for key in ranks.object.keys {
                let rank = try ranks.integer(key, in: PEFTConfig.ranks)
                rankPattern.append(Exception(try ModulePattern(key, path: fields.path), rank))
            }
        }
        if let alphas = try fields.optionalFields("alpha_pattern") {
            for key in alphas.object.keys {
                let alpha = try alphas.positiveNumber(key)
                alphaPattern.append(Exception(try ModulePattern(key, path: fields.path), alpha))
            }
        }
    }

    /// The file PEFT would write.
    package var text: String {
        var object = source ?? PEFTConfig.defaults(kind)
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
        set(kind.dropoutKey, .double(dropout))
        switch targetModules {
        case .names(let names): set("target_modules", .array(names.map { .string($0) }))
        case .pattern(let pattern): set("target_modules", .string(pattern))
        }
        set("inference_mode", .bool(inferenceMode))
        set(kind.initialisationKey, initialisation)
        setList("modules_to_save", modulesToSave.map { .string($0) })
        setList("layers_to_transform", layersToTransform.map { .integer($0) })
        switch kind {
        case .lora: setLoRA(set)
        case .vera:
            set("d_initial", .double(veraStart))
            set("projection_prng_key", .integer(veraKey))
        }
        return JSON.object(object).sorted().text(.python)
    }

    private func setLoRA(_ set: (String, JSON) -> Void) {
        set("lora_alpha", PEFTConfig.number(alpha))
        set("use_rslora", .bool(usesRsLoRA))
        set("use_dora", .bool(usesDoRA))
        var ranks = JSON.Object()
        for exception in rankPattern { ranks[exception.pattern.text] = .integer(exception.value) }
        set("rank_pattern", .object(ranks))
        var alphas = JSON.Object()
        for exception in alphaPattern { alphas[exception.pattern.text] = PEFTConfig.number(exception.value) }
        set("alpha_pattern", .object(alphas))
    }

    private static let ranks = 1...(1 << 16)

    private static func number(_ value: Double) -> JSON {
        Int(exactly: value).map { .integer($0) } ?? .double(value)
    }

    private static func targetModules(_ fields: JSONFields) throws(FileError) -> TargetModules {
        if case .string(let pattern) = fields["target_modules"] { return .pattern(pattern) }
        guard let names = try fields.optionalStrings("target_modules"), !names.isEmpty else {
            throw fields.wrong(
                "target_modules", expected: "the names of the modules that the adapter changes")
        }
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
            "alora_invocation_tokens", "arrow_config", "fan_in_fan_out", "kasa_config", "layer_replication",
            "lora_bias", "megatron_config", "monteclora_config", "target_parameters",
            "trainable_token_indices", "use_bdlora", "use_qalora",
        ]
        for key in unsupported {
            switch fields[key] {
            case nil, .bool(false), .array([]): continue
            default: throw fields.wrong(key, expected: "none: it is not supported")
            }
        }
    }

    /// What PEFT 0.21 writes beside the keys of 0.17: how it was trained, or what is refused unless it is none.
    private static let laterKeys: Set = [
        "alora_invocation_tokens", "arrow_config", "ensure_weight_tying", "kasa_config", "lora_ga_config",
        "monteclora_config", "peft_version", "use_bdlora", "velora_config",
    ]

    /// What PEFT 0.17 writes for a plain one.
    private static func defaults(_ kind: Kind) -> JSON.Object { kind == .lora ? loraDefaults : veraDefaults }

    private static let veraDefaults: JSON.Object = [
        "auto_mapping": .null, "base_model_name_or_path": .null, "bias": .string("none"),
        "d_initial": .double(0.1), "fan_in_fan_out": .bool(false), "inference_mode": .bool(true),
        "init_weights": .bool(true), "layers_pattern": .null, "layers_to_transform": .null,
        "modules_to_save": .null, "peft_type": .string("VERA"), "projection_prng_key": .integer(0),
        "r": .integer(256), "revision": .null, "save_projection": .bool(true), "target_modules": .null,
        "task_type": .null, "vera_dropout": .double(0),
    ]

    private static let loraDefaults: JSON.Object = [
        "alpha_pattern": .object([:]), "auto_mapping": .null, "base_model_name_or_path": .null,
        "bias": .string("none"), "corda_config": .null, "eva_config": .null, "exclude_modules": .null,
        "fan_in_fan_out": .bool(false), "inference_mode": .bool(true), "init_lora_weights": .bool(true),
        "layer_replication": .null, "layers_pattern": .null, "layers_to_transform": .null,
        "loftq_config": .object([:]), "lora_alpha": .integer(8), "lora_bias": .bool(false),
        "lora_dropout": .double(0), "megatron_config": .null, "megatron_core": .string("megatron.core"),
        "modules_to_save": .null, "peft_type": .string("LORA"), "qalora_group_size": .integer(16),
        "r": .integer(8), "rank_pattern": .object([:]), "revision": .null, "target_modules": .null,
        "target_parameters": .null, "task_type": .null, "trainable_token_indices": .null,
        "use_dora": .bool(false), "use_qalora": .bool(false), "use_rslora": .bool(false),
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
