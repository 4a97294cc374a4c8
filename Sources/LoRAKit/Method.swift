import Checkpoints
import Kernels
import LoRAVK

/// A method of a program's own: LoRA whose update counts more or less, whose matrices learn at rates of their own, or begin otherwise.
/// What it saves is a plain LoRA that computes the same.
public protocol Method: Sendable {
    /// What `Adapter.Options.method` calls it.
    var name: String { get }
    /// One line: the formula, and its authors.
    var summary: String { get }
    /// Multiplies the update s·B·A.
    var factor: Double { get }
    /// Multiplies the learning rate; 0 freezes the matrix.
    func learningRate(of matrix: LoRAMatrix) -> Double
    /// First values of A (rank × inFeatures) and B (outFeatures × rank), row by row; nil: those of the initialisation.
    func start(_ layer: LoRAShape, random: inout any RandomNumberGenerator) -> (a: [Float], b: [Float])?
}

extension Method {
    public var factor: Double { 1 }
    public func learningRate(of matrix: LoRAMatrix) -> Double { 1 }
    public func start(_ layer: LoRAShape, random: inout any RandomNumberGenerator) -> (
        a: [Float], b: [Float]
    )? { nil }
    /// From now on `Adapter.Options.method` may name it. Once, before it is used.
    public func register() { Registries.methods.register(RegisteredMethod(method: self)) }
}

/// The matrices of a layer's update s·B·A.
public enum LoRAMatrix: Sendable { case a, b }

/// A layer that an adapter changes.
public struct LoRAShape: Sendable {
    public let rank: Int
    public let inFeatures: Int
    public let outFeatures: Int
}

private struct RegisteredMethod: LowRankMethod {
    let method: any Method

    var name: String { method.name }
    var summary: String { method.summary }
    let savesItself = false

    func term(_ layer: LoRALayer) -> LowRankTerm {
        var term = LowRankTerm(layer)
        term.scaling *= Float(method.factor)
        return term
    }

    func learningRate(of part: LoRAVK.Adapter.Part) -> Double {
        method.learningRate(of: part == .loraA ? .a : .b)
    }

    func start(
        _ site: InitialSite, _ initialization: LoRAInitialization, using random: inout RandomNumbers
    ) throws -> [LoRAVK.Adapter.Part: [Float]] {
        let shape = LoRAShape(rank: site.rank, inFeatures: site.inFeatures, outFeatures: site.outFeatures)
        var generator: any RandomNumberGenerator = random
        guard let (a, b) = method.start(shape, random: &generator) else {
            return try initialization.matrices(site, using: &random)
        }
        if let drawn = generator as? RandomNumbers { random = drawn }
        guard a.count == shape.rank * shape.inFeatures, b.count == shape.outFeatures * shape.rank else {
            throw ConfigError(
                "the method \(name) begins with \(a.count) and \(b.count) numbers for A and B; it must be "
                    + "\(shape.rank * shape.inFeatures) and \(shape.outFeatures * shape.rank)")
        }
        return [.loraA: a, .loraB: b]
    }

    func fileTensors(of layer: LoRALayer, in adapter: LoRAVK.Adapter) throws -> [TensorSource] {
        let factor = Float(method.factor)
        return [
            TensorSource(
                AdapterFiles.key(layer.name, .loraA), shape: [layer.rank, layer.inFeatures],
                try adapter.values(layer, .loraA).map { $0 * factor }),
            TensorSource(
                AdapterFiles.key(layer.name, .loraB), shape: [layer.outFeatures, layer.rank],
                try adapter.values(layer, .loraB)),
        ]
    }
}
