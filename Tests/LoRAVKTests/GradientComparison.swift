// Gradients of the summed loss, and how they are held against differences of it.

import LoRAVK
import TestSupport
import Testing

func gradients(_ model: Transformer, _ adapter: Adapter, _ batches: [[Example]]) throws -> [String: [Float]] {
    let trainer = try Trainer(model, adapter)
    try trainer.zeroGradients()
    for batch in batches { _ = try trainer.forwardBackward(batch, counted: 1) }
    return try adapter.all(.gradient)
}

/// Compares the gradients that the adapter holds with central differences of `loss`, in every matrix that trains: at its
/// largest entry, and at one at random.
func compareGradients(
    _ adapter: Adapter, step: Double, relative: Double, least: Double = 1e-3, _ loss: () throws -> Double
) throws {
    var random = RandomValues(seed: 31)
    // Read before a loss is computed, which may add to them.
    let parameters = try adapter.layers.flatMap { layer in
        try layer.parameters.filter { $0.learningRate != 0 }.map { parameter in
            (layer, parameter.shape.part, try adapter.values(layer, parameter.shape.part, .gradient))
        }
    }
    for (layer, part, gradient) in parameters {
        let start = try adapter.values(layer, part)
        let largest = Double(gradient.map(abs).max() ?? 0)
        #expect(largest > least, "\(layer.name) \(part) has no gradient")
        let probes = [
            gradient.indices.max { abs(gradient[$0]) < abs(gradient[$1]) } ?? 0,
            Int.random(in: gradient.indices, using: &random),
        ]
        for index in probes {
            var failure: (any Error)?
            let difference = finiteDifference(at: [Double(start[index])], step: step) { x in
                do {
                    var moved = start
                    moved[index] = Float(x[0])
                    try adapter.set(layer, part, to: moved)
                    return try loss()
                } catch {
                    failure = error
                    return .nan
                }
            }
            if let failure { throw failure }
            #expect(
                abs(difference[0] - Double(gradient[index])) <= relative * largest,
                "\(layer.name) \(part)[\(index)]: \(gradient[index]), by differences \(difference[0])")
        }
        try adapter.set(layer, part, to: start)
    }
}

extension LoRAConfig {
    init(rank: Int, alpha: Double) {
        self.init()
        self.rank = rank
        self.alpha = alpha
    }
}
