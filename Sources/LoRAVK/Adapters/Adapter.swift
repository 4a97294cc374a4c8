// An adapter on the device. All its parameters are in one flat buffer, and so are their gradients and what AdamW keeps: one
// dispatch updates them.

import Checkpoints
import Kernels
import VulkanCompute

/// Not thread-safe: used by one trainer or generator at a time.
package final class Adapter {
    package let config: PEFTConfig
    package let method: any AdapterMethod
    package let layers: [LoRALayer]
    /// The head of a classifier; nil: the model tells the next tokens.
    package let head: ScoreHead?
    /// What trains whole, in the flat buffer behind the layers'.
    package let whole: [WholeParameter]
    package let parameters: Tensor  // flat
    package let gradients: Tensor  // flat, the same layout
    /// Multiplies the learning rate of each parameter. 0: frozen. Nil: 1 everywhere.
    package let learningRates: Tensor?  // flat
    let shared: SharedMatrices
    /// The initialization of the parameters.
    let start: String
    package let device: Device
    private let byName: [String: Int]
    private let linears: [Linear]
    private let refreshArena: Arena?
    private var refreshGraph: CommandGraph?
    /// The derived tensors are older than the parameters.
    private var isStale = true
    /// Counts the changes of the parameters.
    private(set) var version = 0

    package init(
        _ config: PEFTConfig, method: any AdapterMethod, modules: [AdapterModuleShape],
        constants: [[String: [Float]]], shared: SharedMatrices = [:], head: ScoreHead? = nil,
        whole names: [String] = [], start: String = "zeros", for model: Transformer
    ) throws {
        let device = model.device
        let shapes = modules.map(method.parameters)
        var wholeShapes = names.map { (name: $0, shape: model.wholeShape($0)) }
        if let head { wholeShapes.append((ScoreHead.tensorName, head.shape(width: model.spec.width))) }
        let layersCount = shapes.joined().reduce(0) { $0 + $1.stride }
        let count = wholeShapes.reduce(layersCount) { $0 + $1.shape.stride }
        let parameters = try device.makeTensor([count], label: "adapter parameters")
        let gradients = try device.makeTensor([count], label: "adapter gradients")
        let places = Self.places(shapes, groups: model.inputGroups(modules.map(\.name)))
        func parameter(_ shape: ParameterShape, at place: Int, _ rate: Double) -> AdapterParameter {
            func part(_ flat: Tensor) -> Tensor {
                let size = [shape.storedRows, shape.storedColumns]
                return Tensor(flat.slice.slice(place * 4, byteCount: size[0] * size[1] * 4), shape: size)
            }
            return AdapterParameter(
                shape: shape, value: part(parameters), gradient: part(gradients), learningRate: rate)
        }
        var layers: [LoRALayer] = []
        var blocks = SharedBlocks(shared)
        var fixed = FixedTensors(device)
        for (index, (module, shapes)) in zip(modules, shapes).enumerated() {
            let layerParameters = zip(shapes, places[index]).map { shape, place in
                parameter(shape, at: place, module.learningRate * method.learningRate(of: shape.part))
            }
            var derived: [String: Tensor] = [:]
            for (name, shape) in method.derivedTensors(of: module) {
                let tensor = try device.makeTensor(shape, label: "\(module.name) \(name)")
                if let values = constants[index][name] { try device.upload(values, into: tensor.slice) }
                derived[name] = tensor
            }
            var sharedTensors: [Part: Tensor] = [:]
            for shape in method.shared(with: module) {
                sharedTensors[shape.part] = try blocks.tensor(shape, on: device)
            }
            layers.append(
                LoRALayer(
                    module: module, method: method, dropout: config.dropout, parameters: layerParameters,
                    fixed: try fixed.tensors(method.fixedTensors(of: module)), derived: derived,
                    shared: sharedTensors))
        }
        self.config = config
        self.method = method
        self.layers = layers
        self.head = head
        var end = layersCount
        whole = wholeShapes.map { name, shape in
            defer { end += shape.stride }
            return WholeParameter(name: name, parameter: parameter(shape, at: end, 1))
        }
        self.shared = shared
        self.start = start
        self.parameters = parameters
        self.gradients = gradients
        self.device = device
        let linears = Dictionary(first: model.linears.map { ($0.name, $0) })
        let adapted = modules.map { module in
            guard let linear = linears[module.name] else {
                preconditionFailure("the model has no linear layer '\(module.name)'")
            }
            return linear
        }
        self.linears = adapted
        refreshArena = try Self.refreshArena(layers, adapted, device)
        learningRates = try Self.learningRates(layers, whole, in: parameters, device)
        byName = Dictionary(
            first: layers.enumerated().map { ($1.name, $0) })
        try device.run { encoder throws(VulkanError) in
            try encoder.fill(parameters.slice)
            try encoder.fill(gradients.slice)
        }
    }

    /// Where each parameter of each module begins in the flat buffer. A group of modules has first the first parameter of all its
    /// modules, then the second: so the A of layers with the same input are adjacent (LinearGroup).
    private static func places(_ shapes: [[ParameterShape]], groups: [Range<Int>]) -> [[Int]] {
        var places = shapes.map { $0.map { _ in 0 } }
        var at = 0
        for group in groups {
            for index in 0..<(shapes[group].map(\.count).max() ?? 0) {
                for module in group where index < shapes[module].count {
                    places[module][index] = at
                    at += shapes[module][index].stride
                }
            }
        }
        return places
    }

    private static func learningRates(
        _ layers: [LoRALayer], _ whole: [WholeParameter], in flat: Tensor, _ device: Device
    ) throws(VulkanError) -> Tensor? {
        let count = flat.count
        let isPlain = layers.allSatisfy { layer in
            layer.module.frozenRank == 0 && layer.parameters.allSatisfy { $0.learningRate == 1 }
        }
        if isPlain { return nil }
        var rates = [Float](repeating: 0, count: count)
        for layer in layers {
            for parameter in layer.parameters {
                let values = layer.learningRates(parameter)
                let place = parameter.place(in: flat) / 4
                rates.replaceSubrange(place..<place + values.count, with: values)
            }
        }
        for (parameter, place) in whole.map({ ($0.parameter, $0.parameter.place(in: flat) / 4) }) {
            for index in place..<place + parameter.shape.storedCount { rates[index] = 1 }
        }
        return try device.makeTensor(rates, [count], label: "learning rates")
    }

    package func layer(_ name: String) -> LoRALayer? { byName[name].map { layers[$0] } }

    /// Numbers that training changes, without padding.
    package var parameterCount: Int {
        let ofLayers = layers.reduce(0) { sum, layer in
            layer.parameters.reduce(sum) { $0 + layer.trainedCount($1) }
        }
        return whole.reduce(ofLayers) { $0 + $1.parameter.shape.count }
    }

    /// All parameters, by their keys in PEFT's files.
    package var namedParameters: [(key: String, parameter: AdapterParameter)] {
        layers.flatMap { layer in layer.parameters.map { (layer.key($0.shape.part), $0) } }
            + whole.map { ($0.key, $0.parameter) }
    }

    /// What trains whole under a tensor's name.
    package func whole(_ name: String) -> AdapterParameter? { whole.first { $0.name == name }?.parameter }

    /// W (K, C) of the head, with rows of zeros behind.
    func headWeight() -> AdapterParameter {
        guard let weight = whole(ScoreHead.tensorName) else { preconditionFailure("the adapter has no head") }
        return weight
    }

    package enum Kind: Sendable { case parameter, gradient }

    /// A parameter of a layer, or its gradient, row by row without padding.
    package func values(
        _ layer: LoRALayer, _ part: Part, _ kind: Kind = .parameter
    ) throws(VulkanError) -> [Float] {
        try values(layer[part], kind)
    }

    package func values(_ parameter: AdapterParameter, _ kind: Kind = .parameter) throws(VulkanError)
        -> [Float]
    {
        parameter.shape.unpadded(
            try device.values(kind == .parameter ? parameter.value : parameter.gradient))
    }

    package func set(
        _ layer: LoRALayer, _ part: Part, _ kind: Kind = .parameter, to values: [Float]
    ) throws(VulkanError) {
        try set(layer[part], kind, to: values)
    }

    package func set(
        _ parameter: AdapterParameter, _ kind: Kind = .parameter, to values: [Float]
    ) throws(VulkanError) {
        let target = kind == .parameter ? parameter.value : parameter.gradient
        try device.upload(parameter.shape.padded(values), into: target.slice)
        if kind == .parameter { parametersChanged() }
    }

    /// The part of a parameter in a buffer with the layout of the parameters.
    func part(_ parameter: AdapterParameter, of flat: Tensor) -> Tensor {
        Self.part(parameter, of: flat, among: parameters)
    }

    static func part(_ parameter: AdapterParameter, of flat: Tensor, among parameters: Tensor) -> Tensor {
        let value = parameter.value
        return Tensor(
            flat.slice.slice(parameter.place(in: parameters), byteCount: value.byteCount), shape: value.shape)
    }

    func zeroGradients() throws(VulkanError) {
        let gradients = gradients
        try device.run { encoder throws(VulkanError) in try encoder.fill(gradients.slice) }
    }

    // MARK: Derived tensors

    /// Call this after changing parameters on the device.
    package func parametersChanged() {
        isStale = true
        version += 1
    }

    /// Updates the derived tensors if the parameters have changed. Call this before a pass runs.
    package func refresh() throws(VulkanError) {
        guard isStale else { return }
        if let refreshArena {
            if refreshGraph == nil {
                let encoder = try CommandEncoder(device, scratch: refreshArena)
                try Self.refresh(layers, linears, encoder, refreshArena)
                refreshGraph = try encoder.finish()
            }
            try refreshGraph?.run()
        }
        isStale = false
    }

    /// Room for the intermediate tensors of `refresh`. Nil: the method derives no tensors.
    private static func refreshArena(
        _ layers: [LoRALayer], _ linears: [Linear], _ device: Device
    ) throws(VulkanError) -> Arena? {
        guard layers.contains(where: { !$0.derived.isEmpty }) else { return nil }
        let measure = Arena(planningFor: device.capabilities)
        try refresh(
            layers, linears, CommandEncoder(planningFor: device.capabilities, scratch: measure), measure)
        return try Arena(device, measure.plan)
    }

    private static func refresh(
        _ layers: [LoRALayer], _ linears: [Linear], _ encoder: CommandEncoder, _ arena: Arena
    ) throws(VulkanError) {
        for (layer, linear) in zip(layers, linears) {
            try layer.method.updateDerivedTensors(layer, around: linear, encoder, arena)
        }
    }

    /// Records the method's changes to the gradients of a step.
    func transformGradients(_ encoder: CommandEncoder) throws(VulkanError) {
        for layer in layers { try method.transformGradients(layer, encoder) }
    }
}

/// Fixed tensors on the device: equal ones are one.
private struct FixedTensors {
    let device: Device
    private var made: [FixedTensor: Tensor] = [:]

    init(_ device: Device) { self.device = device }

    mutating func tensors(_ wanted: [String: FixedTensor]) throws(VulkanError) -> [String: Tensor] {
        var tensors: [String: Tensor] = [:]
        for (name, fixed) in wanted {
            if let tensor = made[fixed] {
                tensors[name] = tensor
                continue
            }
            let tensor = try device.makeTensor(fixed.shape, label: name)
            if !device.isPlanning { try device.upload(fixed.values, into: tensor.slice) }
            (made[fixed], tensors[name]) = (tensor, tensor)
        }
        return tensors
    }
}
