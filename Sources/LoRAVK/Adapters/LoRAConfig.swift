// What an adapter is: its method, rank, scaling, targets and how its matrices start, in PEFT's words.

import Checkpoints

package struct LoRAConfig: Sendable {
    package enum Targets: Sendable, Equatable {
        /// Every linear layer of the blocks, as PEFT's `all-linear` (the output head is not one of them).
        case allLinear
        /// The last parts of module names (`q_proj`, `mlp.up_proj`), where `*` stands for any text.
        case names([String])
    }

    /// R. The matrices of a module are A (R, in) and B (out, R).
    package var rank = Defaults.rank
    /// α; the update is scaled by α/R, or α/√R with rsLoRA.
    package var alpha: Double {
        get { givenAlpha ?? Defaults.alpha(rank: rank) }
        set { givenAlpha = newValue }
    }
    private var givenAlpha: Double?
    /// Probability that an input of the adapter (not of the base layer) is zeroed while training.
    package var dropout = Defaults.dropout
    package var targets = Targets.allLinear
    package var usesRsLoRA = false
    package var method: any AdapterMethod = LoRA()
    /// nil: the method's default.
    package var initialization: LoRAInitialization?
    /// Multiplies the learning rate of modules, by names as in `targets`; the last that means a module holds for it.
    /// Yao et al. 2024 train v faster than q.
    package var learningRates: [(target: String, multiplier: Double)] = []
    package var seed: UInt64 = 0
    /// Modules of which the adapter has copies that train whole: the embedding, the output.
    package var modulesToSave: [String] = []
    /// The head of a classifier, which trains whole.
    package var head: ScoreHead?

    package init() {}

    package var start: LoRAInitialization { initialization ?? method.defaultInitialization }

    package var scaling: Double { alpha / (usesRsLoRA ? Double(rank).squareRoot() : Double(rank)) }

    package func validate() throws(ConfigError) {
        guard (1...4096).contains(rank) else {
            throw ConfigError("the LoRA rank is \(rank); it must be 1 to 4096 (8 and 16 are usual)")
        }
        guard alpha > 0, Float(scaling).isNormal, Float(alpha).isNormal else {
            throw ConfigError(
                "the LoRA alpha is \(alpha); it must be a positive number (twice the rank is usual)")
        }
        guard dropout >= 0, dropout < 1 else {
            throw ConfigError("the LoRA dropout is \(dropout); it must be at least 0 and below 1")
        }
        for (target, multiplier) in learningRates where !(0...1e6).contains(multiplier) {
            throw ConfigError(
                "the learning rate of '\(target)' is multiplied by \(multiplier); it must be 0 (frozen) to 1e6"
            )
        }
        try method.validate(self)
    }

    package func learningRate(of module: String) -> Double {
        learningRates.last { matches(module, $0.target) }?.multiplier ?? 1
    }

    /// The modules of a model that the targets mean, in the model's order; every target must mean one.
    package func modules(of linears: [String]) throws(ConfigError) -> [String] {
        let rated = learningRates.map(\.target)
        guard case .names(let names) = targets else {
            try check(rated, linears)
            return linears
        }
        try check(names + rated, linears)
        return linears.filter { module in names.contains { matches(module, $0) } }
    }

    private func check(_ names: [String], _ linears: [String]) throws(ConfigError) {
        for name in names where !linears.contains(where: { matches($0, name) }) {
            let kinds = Set(linears.compactMap { $0.split(separator: ".").last.map(String.init) }).sorted()
            throw ConfigError(
                "the target module '\(name)' matches no linear layer of the model; it has "
                    + "\(kinds.joined(separator: ", ")), in blocks such as '\(linears.first ?? "")'")
        }
    }
}

/// A setting that cannot be used, as a sentence.
package struct ConfigError: Error, Sendable, Equatable, CustomStringConvertible {
    package let description: String
    package init(_ description: String) { self.description = description }
}

/// Whether a module's name is `pattern` or ends with it after a dot, `*` standing for any text.
private func matches(_ module: String, _ pattern: String) -> Bool {
    if !pattern.contains("*") { return module.isModule(named: pattern) }
    let name = Array(module.utf8)
    let wanted = Array((pattern.hasPrefix("*") ? pattern : "*" + pattern).utf8)
    // reachable[i]: the pattern read so far can end at i.
    var reachable = [Bool](repeating: false, count: name.count + 1)
    reachable[0] = true
    for symbol in wanted {
        if symbol == UInt8(ascii: "*") {
            for i in 1..<reachable.count where reachable[i - 1] { reachable[i] = true }
        } else {
            for i in (1..<reachable.count).reversed() {
                reachable[i] = reachable[i - 1] && name[i - 1] == symbol
            }
            reachable[0] = false
        }
    }
    return reachable[name.count]
}
