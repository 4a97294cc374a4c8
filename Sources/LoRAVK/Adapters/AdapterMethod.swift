// The seam between adapters and the rest: what a method trains, how it starts, how it runs around a frozen linear layer, and
// what it is in PEFT's files. Everything has plain LoRA's answer as default; a method states only what it does differently.

import Checkpoints
import Kernels
import VulkanCompute

package protocol AdapterMethod: Sendable {
    /// As the registry, the command line and saved adapters have it: `lora+`.
    var name: String { get }
    /// One line: the formula, and whose it is.
    var summary: String { get }
    /// Numbers of the method's own, with the values they have now.
    var options: [MethodOption] { get set }

    /// Where no other is asked for.
    var usualInitialization: LoRAInitialization { get }
    /// Sets what the method leaves no choice about.
    func settle(_ config: inout LoRAConfig)
    /// Refuses settings that the method has no meaning for.
    func validate(_ config: LoRAConfig) throws(ConfigError)

    /// The parameters of a layer, in the order in which they lie in the flat buffer.
    func parameters(of module: AdapterModuleShape) -> [ParameterShape]
    /// What the learning rate of a parameter is multiplied by; 0 freezes it.
    func learningRate(of part: Adapter.Part) -> Double
    /// First values of a layer's parameters, with as many ranks as train; what is left out starts as zeros.
    func start(
        _ site: InitialSite, _ initialization: LoRAInitialization, using random: inout RandomNumbers
    ) throws -> [Adapter.Part: [Float]]

    /// Matrices that never train and that the layers share: the layer's corner of each.
    func shared(with module: AdapterModuleShape) -> [ParameterShape]
    /// Gives the whole ones, which are zero, their first values.
    func startShared(_ matrices: inout [Adapter.Part: SharedMatrix], seed: UInt64)

    /// Tensors with what follows from the parameters or the weight alone: their shapes, by names of the method's own.
    func derived(of module: AdapterModuleShape) -> [String: [Int]]
    /// Values of those that never change.
    func constants(_ base: InitialSite.Base, of module: AdapterModuleShape) throws -> [String: [Float]]
    /// Records the others anew; runs before the first pass after the parameters have changed.
    func refresh(
        _ layer: LoRALayer, around base: Linear, _ encoder: CommandEncoder, _ arena: Arena
    ) throws(VulkanError)

    /// All that the layer adds to W's product, where a low-rank term says it: generation then runs both in one kernel. A method
    /// with none has a `forward`, `kept` and `backward` of its own.
    func lowRank(_ layer: LoRALayer) -> LowRankTerm?
    /// Whether forward and backward are that term's and nothing else: then a block may record their parts apart, and as one for
    /// layers that read the same input, which is faster.
    var isLowRankAlone: Bool { get }
    /// Records the layer's whole output and returns what the backward needs of it.
    func forward(
        _ y: Destination, _ x: Tensor, _ layer: LoRALayer, around base: Linear, _ pass: Pass
    ) throws(VulkanError) -> Tensor
    /// What a forward returns, without the output: where a block is computed again for its backward.
    func kept(
        of x: Tensor, _ layer: LoRALayer, around base: Linear, _ pass: Pass
    ) throws(VulkanError) -> Tensor
    /// Records the gradients of the parameters (adding to them) and of x; gives `kept` back.
    func backward(
        _ dx: GradientDestination, _ dy: Tensor, x: Tensor, kept: Tensor, _ layer: LoRALayer,
        around base: Linear, _ pass: Pass
    ) throws(VulkanError)

    /// Changes the gradients of a step before their norm is taken and the optimizer sees them.
    func transformGradients(_ layer: LoRALayer, _ encoder: CommandEncoder) throws(VulkanError)

    /// Says in PEFT's config what the method is.
    func describe(_ peft: inout PEFTConfig, _ config: LoRAConfig)
    /// What of a layer is saved, under PEFT's keys.
    func saved(_ layer: LoRALayer, of adapter: Adapter) throws -> [TensorSource]
    /// Whether that is the parameters themselves, so that training goes on from a saved adapter as this method; or a plain
    /// LoRA that does the same.
    var savesItself: Bool { get }
}

extension AdapterMethod {
    package var options: [MethodOption] {
        get { [] }
        set {}
    }

    package var savesItself: Bool { true }
    package var usualInitialization: LoRAInitialization { .kaiming }

    package func settle(_ config: inout LoRAConfig) {}
    package func describe(_ peft: inout PEFTConfig, _ config: LoRAConfig) {}
    package func transformGradients(_ layer: LoRALayer, _ encoder: CommandEncoder) throws(VulkanError) {}
    package func derived(of module: AdapterModuleShape) -> [String: [Int]] { [:] }
    package func constants(_ base: InitialSite.Base, of module: AdapterModuleShape) throws -> [String:
        [Float]]
    {
        [:]
    }
    package func refresh(
        _ layer: LoRALayer, around base: Linear, _ encoder: CommandEncoder, _ arena: Arena
    ) throws(VulkanError) {}
    package func validate(_ config: LoRAConfig) throws(ConfigError) {}

    package func shared(with module: AdapterModuleShape) -> [ParameterShape] { [] }
    package func startShared(_ matrices: inout [Adapter.Part: SharedMatrix], seed: UInt64) {}

    package func parameters(of module: AdapterModuleShape) -> [ParameterShape] {
        [.loraA(module), .loraB(module)]
    }

    package func learningRate(of part: Adapter.Part) -> Double { 1 }

    package func start(
        _ site: InitialSite, _ initialization: LoRAInitialization, using random: inout RandomNumbers
    ) throws -> [Adapter.Part: [Float]] {
        try initialization.matrices(site, using: &random)
    }

    package func lowRank(_ layer: LoRALayer) -> LowRankTerm? { LowRankTerm(layer) }
    package var isLowRankAlone: Bool { false }

    package func forward(
        _ y: Destination, _ x: Tensor, _ layer: LoRALayer, around base: Linear, _ pass: Pass
    ) throws(VulkanError) -> Tensor {
        try base.forward(y, x, lowRank: onlyTerm(layer), pass)
    }

    package func kept(
        of x: Tensor, _ layer: LoRALayer, around base: Linear, _ pass: Pass
    ) throws(VulkanError) -> Tensor {
        try base.down(x, onlyTerm(layer), pass)
    }

    package func backward(
        _ dx: GradientDestination, _ dy: Tensor, x: Tensor, kept: Tensor, _ layer: LoRALayer,
        around base: Linear, _ pass: Pass
    ) throws(VulkanError) {
        try base.backward(dx, dy, x: x, h: kept, lowRank: onlyTerm(layer), pass)
    }

    /// For methods that start in a way of their own.
    func refuseInitialization(_ config: LoRAConfig) throws(ConfigError) {
        guard let wanted = config.initialization else { return }
        throw ConfigError(
            "\(name) starts with an update of zero in its own way, and the initialization is \(wanted.name); "
                + "leave --init away")
    }

    private func onlyTerm(_ layer: LoRALayer) -> LowRankTerm {
        guard let term = lowRank(layer) else { preconditionFailure("\(name) needs a forward of its own") }
        return term
    }

    package func saved(_ layer: LoRALayer, of adapter: Adapter) throws -> [TensorSource] {
        try layer.parameters.compactMap { parameter in
            let part = parameter.shape.part
            return try part.filePart.map { filePart in
                TensorSource(
                    AdapterFiles.key(layer.name, filePart), shape: parameter.shape.savedShape,
                    try adapter.values(layer, part))
            }
        }
    }

    /// The name with the options, as `AdapterMethods.named` reads it.
    package var description: String { name + options.text }

    func option(_ name: String) -> Double {
        guard let option = options.first(where: { $0.name == name }) else {
            preconditionFailure("\(self.name) has no option '\(name)'")
        }
        return option.value
    }
}

/// A number that a method or an initialisation takes: `ratio` in `lora+:ratio=16`.
package struct MethodOption: Sendable, Equatable {
    package let name: String
    package let summary: String
    package let range: ClosedRange<Double>
    package var value: Double

    package init(_ name: String, _ value: Double, in range: ClosedRange<Double>, _ summary: String) {
        (self.name, self.value, self.range, self.summary) = (name, value, range, summary)
    }
}

extension [MethodOption] {
    package var text: String {
        isEmpty
            ? ""
            : ":"
                + map { "\($0.name)=\(Int(exactly: $0.value).map(String.init) ?? "\($0.value)")" }.joined(
                    separator: ",")
    }

    /// Sets values by name; `owner` is whose they are, for the error.
    mutating func set(_ values: [(name: String, value: Double)], of owner: String) throws(ConfigError) {
        for (name, value) in values {
            guard let index = firstIndex(where: { $0.name == name }) else {
                let known = isEmpty ? "it takes none" : "it takes \(map(\.name).joined(separator: ", "))"
                throw ConfigError("\(owner) takes no option '\(name)'; \(known)")
            }
            guard self[index].range.contains(value) else {
                let range = self[index].range
                throw ConfigError(
                    "\(owner): \(name) is \(value); it must be \(range.lowerBound) to \(range.upperBound)")
            }
            self[index].value = value
        }
    }
}

/// `name:option=value,option=value`
struct NamedOptions {
    let name: String
    private(set) var values: [(name: String, value: Double)] = []

    init(_ text: String) throws(ConfigError) {
        let parts = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
        name = String(parts[0])
        guard parts.count == 2 else { return }
        for setting in parts[1].split(separator: ",", omittingEmptySubsequences: false) {
            let sides = setting.split(separator: "=", maxSplits: 1)
            guard sides.count == 2, let value = Double(sides[1]), value.isFinite else {
                throw ConfigError(
                    "'\(text)': '\(setting)' is no option; they are written \(name):name=number,name=number")
            }
            values.append((String(sides[0]), value))
        }
    }
}
