// The strongest directions of what the layers see on training data, found by subspace iteration: every pass over the data
// multiplies the directions of all layers at once, so that nothing as large as a weight is kept. Halko, Martinsson & Tropp 2011.
//   inputs X (tokens, I):   V ← V·XᵀX, which is Σ (x·Vᵀ)ᵀ·x: the down product and the gradient of A of a LoRA whose A is V
//   gradients G (O, I):     G·Vᵀ is the gradient of B where A is V and B zero, Q·G that of A where B is Qᵀ and A zero

import Checkpoints
import Kernels
import VulkanCompute

/// What an initialisation wants to know of the training data.
package enum DataSight: Sendable {
    case inputs
    /// So many singular vectors for a rank.
    case gradients(perRank: Int)
}

/// Memory: 2·(k + 8)·I floats a layer for inputs, 5·k·(I + O) for gradients, and the activations of a pass; k = `ranks` + 8.
struct DataSubspaces {
    let model: Transformer
    let linears: [Linear]
    let examples: [Example]
    let ranks: Int
    let iterations: Int
    /// Examples of a pass have at most so many tokens together, or are one.
    private static let tokensPerPass = 256
    private static let oversampling = 8

    private func count(_ linear: Linear) -> Int {
        min(ranks + Self.oversampling, linear.inFeatures, linear.outFeatures)
    }

    private func adapter(_ method: any AdapterMethod) throws -> Adapter {
        let modules = linears.map { linear in
            AdapterModuleShape(
                name: linear.name, rank: count(linear), scaling: 1, inFeatures: linear.inFeatures,
                outFeatures: linear.outFeatures)
        }
        let constants = try zip(linears, modules).map { linear, module in
            try method.constants(InitialSite.Base(linear: linear, model: model), of: module)
        }
        return try Adapter(
            PEFTConfig(rank: ranks, alpha: Double(ranks), targetModules: .names([])), method: method,
            modules: modules, constants: constants, for: model)
    }

    // MARK: Inputs

    /// Right singular vectors and values of the inputs of each layer, stacked, and the sum of all their squares; `centred`: of what
    /// they differ from their mean by.
    func inputs(
        centred: Bool, using random: inout RandomNumbers
    ) throws -> [(triplets: SingularTriplets, squares: Double)] {
        let adapter = try adapter(InputSketch())
        let evaluator = try Evaluator(model, adapter)
        let passes = TokenBatch.passes(examples, tokens: Self.tokensPerPass).compactMap(
            TokenBatch.withoutPadding)
        guard !passes.isEmpty else {
            throw ConfigError(
                "the training data has no 8 tokens together; the initialization needs some to look at")
        }
        for layer in adapter.layers {
            var v = normal(layer.rank * layer.inFeatures, deviation: 1, &random)
            try orthonormalise(&v, layer.rank, layer.inFeatures, of: layer.name)
            try adapter.set(layer, .loraA, to: v)
        }
        var found: [(SingularTriplets, Double)] = []
        for iteration in 0...iterations {
            try adapter.zeroGradients()
            for pass in passes { _ = try evaluator.evaluate(pass) }
            for layer in adapter.layers {
                var product = try adapter.values(layer, .loraA, .gradient)  // V·XᵀX
                let ofMean = centred ? try centre(&product, layer, adapter) : 0
                if iteration < iterations {
                    try orthonormalise(&product, layer.rank, layer.inFeatures, of: layer.name)
                    try adapter.set(layer, .loraA, to: product)
                } else {
                    // Of Xᵀ·X, which is symmetric: its singular values are the squares of X's.
                    let squares = try adapter.values(layer, .squares, .gradient).reduce(-ofMean) {
                        $0 + Double($1)
                    }
                    found.append(
                        (
                            try SingularTriplets(
                                product, rows: layer.rank, columns: layer.inFeatures,
                                rank: min(ranks, layer.rank), of: layer.name), squares
                        ))
                }
            }
        }
        return found
    }

    /// Makes V·XᵀX that of the inputs less their mean, V·XᵀX − (V·s)·sᵀ/n with s the sum of n inputs; returns ‖s‖²/n, which is
    /// what the sum of squares loses.
    private func centre(
        _ product: inout [Float], _ layer: LoRALayer, _ adapter: Adapter
    ) throws(VulkanError) -> Double {
        let v = try adapter.values(layer, .loraA)
        let sums = try adapter.values(layer, .sums, .gradient).map(Double.init)
        let count = Double(try adapter.values(layer, .tokens, .gradient)[0])
        for start in stride(from: 0, to: v.count, by: sums.count) {
            let along = sums.indices.reduce(0.0) { $0 + Double(v[start + $1]) * sums[$1] }
            for i in sums.indices { product[start + i] -= Float(along * sums[i] / count) }
        }
        return sums.reduce(0) { $0 + $1 * $1 } / count
    }

    // MARK: Gradients

    /// Singular triplets of the gradient of the mean loss for each weight.
    func gradients(using random: inout RandomNumbers) throws -> [SingularTriplets] {
        let adapter = try adapter(LoRA())
        let trainer = try Trainer(model, adapter)
        let passes = TokenBatch.passes(examples, tokens: Self.tokensPerPass)
        let counted = examples.reduce(0) { $0 + $1.countedTokens }
        guard counted > 0 else {
            throw ConfigError("the training data has no token to learn; the initialization needs gradients")
        }
        func zero(_ layer: LoRALayer, _ part: Adapter.Part) throws {
            try adapter.set(layer, part, to: [Float](repeating: 0, count: layer[part].shape.count))
        }
        func pass() throws {
            try trainer.zeroGradients()
            for pass in passes { _ = try trainer.forwardBackward(pass, counted: counted) }
        }
        func check(_ values: [Float], _ layer: LoRALayer) throws {
            guard values.contains(where: { $0 != 0 }) else {
                throw ConfigError(
                    "the gradient of \(layer.name) is zero; the initialization has no direction to take")
            }
        }
        for layer in adapter.layers {
            var v = normal(layer.rank * layer.inFeatures, deviation: 1, &random)
            try orthonormalise(&v, layer.rank, layer.inFeatures, of: layer.name)
            try adapter.set(layer, .loraA, to: v)
        }
        for iteration in 0...iterations {
            try pass()
            for layer in adapter.layers {
                let product = try adapter.values(layer, .loraB, .gradient)  // G·Vᵀ (O, k)
                try check(product, layer)
                var q = transposed(product, columns: layer.rank)
                try orthonormalise(&q, layer.rank, layer.outFeatures, of: layer.name)
                try adapter.set(layer, .loraB, to: transposed(q, columns: layer.outFeatures))
                try zero(layer, .loraA)
            }
            try pass()
            if iteration == iterations { break }
            for layer in adapter.layers {
                var product = try adapter.values(layer, .loraA, .gradient)  // Q·G (k, I)
                try check(product, layer)
                try orthonormalise(&product, layer.rank, layer.inFeatures, of: layer.name)
                try adapter.set(layer, .loraA, to: product)
                try zero(layer, .loraB)
            }
        }
        return try adapter.layers.map { layer in
            let q = transposed(try adapter.values(layer, .loraB), columns: layer.rank)
            let small = try SingularTriplets(
                try adapter.values(layer, .loraA, .gradient), rows: layer.rank, columns: layer.inFeatures,
                rank: min(ranks, layer.rank), of: layer.name)
            return small.expanded(by: q, rows: layer.outFeatures)
        }
    }
}

private func transposed(_ matrix: [Float], columns: Int) -> [Float] {
    let rows = matrix.count / columns
    return (0..<columns).flatMap { column in (0..<rows).map { matrix[$0 * columns + column] } }
}

extension Adapter.Part {
    fileprivate static let squares = Adapter.Part("squares")
    fileprivate static let sums = Adapter.Part("sums")
    fileprivate static let tokens = Adapter.Part("tokens")
}

/// For forward passes only. The layer's output is the base layer's. What would be gradients collects (x·Vᵀ)ᵀ·x, the squares of
/// x, the sum of x and the number of tokens.
private struct InputSketch: AdapterMethod {
    let name = "input-sketch"
    let summary = "sums up the inputs of layers"
    private static let ones = "ones"
    /// Of which one counts: products come in eights.
    private static let rows = 8

    func parameters(of module: AdapterModuleShape) -> [ParameterShape] {
        [
            .loraA(module), ParameterShape(.squares, count: module.inFeatures),
            ParameterShape(.sums, rows: 1, columns: module.inFeatures, storedRows: Self.rows),
            ParameterShape(.tokens, rows: 1, columns: Self.rows, storedRows: Self.rows),
        ]
    }

    func fixedTensors(of module: AdapterModuleShape) -> [String: FixedTensor] {
        [Self.ones: .ones(module.inFeatures)]
    }

    func forward(
        _ y: Destination, _ x: Tensor, _ layer: LoRALayer, around base: Linear, _ pass: Pass
    ) throws(VulkanError) -> Tensor {
        try base.base(y, x, nil, pass)
        return try recordSaved(of: x, layer, around: base, pass)
    }

    func recordSaved(
        of x: Tensor, _ layer: LoRALayer, around base: Linear, _ pass: Pass
    ) throws(VulkanError) -> Tensor {
        let h = pass.arena.take(x.rows, layer.paddedRank)
        let label = "\(layer.name) inputs"
        try pass.encoder.loraDown(into: h, x, loraA: layer.loraA, scaling: 1, label: label)
        try pass.encoder.loraGradientA(addingTo: layer[.loraA].gradient, g: h, x: x, label: label)
        try pass.encoder.columnDots(
            addingTo: layer[.squares].gradient.reshaped([layer.inFeatures]), x, x,
            by: layer.fixed(Self.ones), label: label)
        let each = pass.arena.take(x.rows, Self.rows)
        try pass.encoder.fill(each.slice, value: Float(1).bitPattern)
        for (part, of) in [(Adapter.Part.sums, x), (.tokens, each)] {
            try pass.encoder.loraGradientA(addingTo: layer[part].gradient, g: each, x: of, label: label)
        }
        pass.arena.give(each)
        return h
    }

    func backward(
        _ dx: GradientDestination, _ dy: Tensor, x: Tensor, saved: Tensor, _ layer: LoRALayer,
        around base: Linear, _ pass: Pass
    ) throws(VulkanError) {
        preconditionFailure("\(name) does not train")
    }
}
