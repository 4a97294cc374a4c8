// Chapter "Adapters" of loravk.h.

import CLoRAVK
import Checkpoints
import LoRAVK

/// Used inside its context's lock.
final class AdapterObject: HandleObject, @unchecked Sendable {
    static let kind = "an adapter"
    let model: ModelObject
    let adapter: Adapter
    let parameters: [Parameter]
    let names: CStrings
    /// Of the head's outputs.
    let labels: CStrings
    let labelCount: Int

    /// A matrix of a layer, or one that trains whole, as PEFT's files name it.
    struct Parameter {
        let name: String
        let parameter: AdapterParameter

        var shape: [Int] { parameter.shape.savedShape }
    }

    init(_ model: ModelObject, _ adapter: Adapter) {
        (self.model, self.adapter) = (model, adapter)
        parameters = adapter.namedParameters.map { Parameter(name: $0.key, parameter: $0.parameter) }
        names = CStrings(parameters.map(\.name))
        labels = CStrings(adapter.head?.names ?? [])
        labelCount = adapter.head?.outputs ?? 0
    }

    func parameter(_ index: Int) throws -> Parameter {
        guard parameters.indices.contains(index) else {
            throw APIError.argument(
                "there is no parameter \(UInt(bitPattern: index)); there are \(parameters.count)")
        }
        return parameters[index]
    }
}

func adapterObject(_ handle: OpaquePointer?) throws -> AdapterObject {
    try Handles.object(handle, AdapterObject.self, "adapter")
}

@c @implementation public func loravk_adapter_create(
    _ handle: OpaquePointer!, _ config: UnsafePointer<loravk_adapter_config>!,
    _ adapter: UnsafeMutablePointer<OpaquePointer?>!
) -> loravk_status {
    call {
        let model = try modelObject(handle)
        let output = try Output(adapter, "adapter")
        let settings = try read(config, defaults: .defaults)
        var config = try LoRAConfig(settings)
        let learned = try objective(settings.objective, "config.objective")
        let data = try settings.data.map { data in
            let data = try read(data, defaults: .defaults)
            return try model.dataset(
                data, .train, try learned ?? objective(data.objective, "data.objective") ?? CausalLM(),
                labels: settings.labels == nil ? nil : config.head?.names)
        }
        if settings.labels == nil, let data { config.head = try learned?.head(for: data) }
        if let data { try model.requireFits(tokens: data.longestBatch(of: 1)) }
        let adapter = try model.context.locked {
            try Adapter.create(for: model.model, config, examples: data?.examples.map(\.first) ?? [])
        }
        output.give(AdapterObject(model, adapter))
    }
}

extension LoRAConfig {
    init(_ config: loravk_adapter_config) throws {
        self.init()
        if let name = try optionalText(config.method, "config.method") {
            method = try Registries.methods.named(name)
        }
        if let name = try optionalText(config.`init`, "config.init") {
            initialization = try Registries.initializations.named(name)
        }
        rank = Int(config.rank)
        if config.alpha != 0 { alpha = config.alpha }
        dropout = config.dropout
        usesRsLoRA = config.use_rslora
        seed = config.seed
        if let modules = config.target_modules {
            let names = try texts(modules, config.target_module_count, "config.target_modules")
            guard !names.isEmpty else {
                throw APIError.argument("config.target_modules has no name; NULL is all linear layers")
            }
            targets = names == ["all-linear"] ? .allLinear : .names(names)
        }
        let rated = try texts(config.rate_modules, config.rate_count, "config.rate_modules")
        let multipliers = try array(config.rate_multipliers, config.rate_count, "config.rate_multipliers")
        learningRates = zip(rated, multipliers).map { ($0, $1) }
        modulesToSave = try texts(
            config.modules_to_save, config.module_to_save_count, "config.modules_to_save")
        let labels = try texts(config.labels, config.label_count, "config.labels")
        head = try objective(config.objective, "config.objective")?
            .head(for: Dataset(examples: [], path: "config.labels", labels: labels))
        guard head != nil || labels.isEmpty else {
            throw APIError.argument("config.labels are of a head, and config.objective trains none")
        }
    }
}

@c @implementation public func loravk_adapter_load(
    _ handle: OpaquePointer!, _ folder: UnsafePointer<CChar>!,
    _ adapter: UnsafeMutablePointer<OpaquePointer?>!
) -> loravk_status {
    call {
        let model = try modelObject(handle)
        let output = try Output(adapter, "adapter")
        let folder = try text(folder, "folder")
        output.give(
            AdapterObject(model, try model.context.locked { try Adapter.load(folder, for: model.model) }))
    }
}

@c @implementation public func loravk_adapter_mix(
    _ handle: OpaquePointer!, _ adapters: UnsafePointer<OpaquePointer?>!, _ weights: UnsafePointer<Double>!,
    _ count: Int, _ mixed: UnsafeMutablePointer<OpaquePointer?>!
) -> loravk_status {
    call {
        let model = try modelObject(handle)
        let output = try Output(mixed, "mixed")
        let handles = try array(adapters, count, "adapters")
        guard !handles.isEmpty else { throw APIError.argument("there are no adapters to mix") }
        let parts = try zip(handles, array(weights, count, "weights")).map { handle, weight in
            let adapter = try adapterObject(handle)
            guard adapter.model === model else {
                throw APIError.argument("an adapter belongs to another model")
            }
            guard weight.isFinite else {
                throw APIError.argument("the weight of an adapter is \(weight); it must be finite")
            }
            return (adapter: adapter.adapter, weight: weight)
        }
        do {
            let adapter = try model.context.locked { try Adapter.mixed(parts, for: model.model) }
            output.give(AdapterObject(model, adapter))
        } catch let error as FileError {
            // There are no files: it says which adapters are no such sums.
            throw APIError(LORAVK_ERROR_UNSUPPORTED, "\(error)")
        }
    }
}

@c @implementation public func loravk_adapter_save(
    _ handle: OpaquePointer!, _ folder: UnsafePointer<CChar>!
) -> loravk_status {
    call {
        let object = try adapterObject(handle)
        let folder = try text(folder, "folder")
        try object.model.context.locked { try object.adapter.save(to: folder) }
    }
}

@c @implementation public func loravk_adapter_release(_ adapter: OpaquePointer!) {
    Handles.release(adapter, AdapterObject.self)
}

@c @implementation public func loravk_adapter_label_count(
    _ handle: OpaquePointer!, _ count: UnsafeMutablePointer<Int>!
) -> loravk_status {
    call { try required(count, "count").pointee = try adapterObject(handle).labelCount }
}

@c @implementation public func loravk_adapter_get_label(
    _ handle: OpaquePointer!, _ index: Int, _ name: UnsafeMutablePointer<UnsafePointer<CChar>?>!
) -> loravk_status {
    call {
        let object = try adapterObject(handle)
        guard (0..<object.labelCount).contains(index) else {
            throw APIError.argument(
                "there is no label \(UInt(bitPattern: index)); the adapter's head has \(object.labelCount)")
        }
        try required(name, "name").pointee = object.labels[index]
    }
}

@c @implementation public func loravk_adapter_parameter_count(
    _ handle: OpaquePointer!, _ count: UnsafeMutablePointer<Int>!
) -> loravk_status {
    call { try required(count, "count").pointee = try adapterObject(handle).parameters.count }
}

@c @implementation public func loravk_adapter_get_parameter_info(
    _ handle: OpaquePointer!, _ index: Int, _ info: UnsafeMutablePointer<loravk_parameter_info>!
) -> loravk_status {
    call {
        let object = try adapterObject(handle)
        let shape = try object.parameter(index).shape
        var result = loravk_parameter_info()
        result.name = object.names[index]
        result.count = Int64(shape.reduce(1, *))
        result.dimensions = Int32(shape.count)
        copy(shape, into: &result.shape)
        try write(result, to: info)
    }
}

@c @implementation public func loravk_adapter_read_parameter(
    _ handle: OpaquePointer!, _ index: Int, _ values: UnsafeMutablePointer<Float>!, _ count: Int
) -> loravk_status {
    readValues(handle, index, .parameter, values, count)
}

@c @implementation public func loravk_adapter_write_parameter(
    _ handle: OpaquePointer!, _ index: Int, _ values: UnsafePointer<Float>!, _ count: Int
) -> loravk_status {
    writeValues(handle, index, .parameter, values, count)
}

@c @implementation public func loravk_adapter_read_gradient(
    _ handle: OpaquePointer!, _ index: Int, _ values: UnsafeMutablePointer<Float>!, _ count: Int
) -> loravk_status {
    readValues(handle, index, .gradient, values, count)
}

@c @implementation public func loravk_adapter_write_gradient(
    _ handle: OpaquePointer!, _ index: Int, _ values: UnsafePointer<Float>!, _ count: Int
) -> loravk_status {
    writeValues(handle, index, .gradient, values, count)
}

private func readValues(
    _ handle: OpaquePointer?, _ index: Int, _ kind: Adapter.Kind, _ values: UnsafeMutablePointer<Float>?,
    _ count: Int
) -> loravk_status {
    call {
        let object = try adapterObject(handle)
        let parameter = try object.parameter(index)
        try checkCount(count, parameter)
        let values = try required(values, "values")
        let read = try object.model.context.locked {
            try object.adapter.values(parameter.parameter, kind)
        }
        values.update(from: read, count: read.count)
    }
}

private func writeValues(
    _ handle: OpaquePointer?, _ index: Int, _ kind: Adapter.Kind, _ values: UnsafePointer<Float>?,
    _ count: Int
) -> loravk_status {
    call {
        let object = try adapterObject(handle)
        let parameter = try object.parameter(index)
        try checkCount(count, parameter)
        let values = Array(try array(values, count, "values"))
        try object.model.context.locked {
            try object.adapter.set(parameter.parameter, kind, to: values)
        }
    }
}

private func checkCount(_ count: Int, _ parameter: AdapterObject.Parameter) throws {
    guard count == parameter.shape.reduce(1, *) else {
        throw APIError.argument(
            "count is \(UInt(bitPattern: count)), and \(parameter.name) has the shape \(parameter.shape)")
    }
}
