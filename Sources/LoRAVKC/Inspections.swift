// What models and adapters are, of loravk.h: from their files alone, or from what is loaded.

import CLoRAVK
import Checkpoints
import LoRAVK

@c @implementation public func loravk_model_inspect(
    _ path: UnsafePointer<CChar>!, _ onTensor: loravk_inspect_callback!, _ userData: UnsafeMutableRawPointer!,
    _ info: UnsafeMutablePointer<loravk_model_info>!
) -> loravk_status {
    call {
        let path = try text(path, "path")
        try checkRoom(try required(info, "info"))
        let checkpoint = try Checkpoint.open(path: path)
        try write(
            loravk_model_info(checkpoint, weightBytes: checkpoint.tensors.reduce(0) { $0 + $1.byteCount }),
            to: info)
        for tensor in checkpoint.tensors {
            tell(tensor.name, tensor.type.name, tensor.shape, to: onTensor, userData)
        }
    }
}

@c @implementation public func loravk_adapter_inspect(
    _ folder: UnsafePointer<CChar>!, _ onTensor: loravk_inspect_callback!,
    _ userData: UnsafeMutableRawPointer!,
    _ info: UnsafeMutablePointer<loravk_adapter_info>!
) -> loravk_status {
    call {
        let folder = try text(folder, "folder")
        try checkRoom(try required(info, "info"))
        let files = try AdapterFiles(folder)
        try write(
            loravk_adapter_info(
                files.config, method: try files.method, modules: files.modules.count,
                parameters: files.modules.reduce(0) { $0 + $1.parameterCount }),
            to: info)
        for tensor in files.tensors {
            tell(tensor.name, tensor.type.name, tensor.shape, to: onTensor, userData)
        }
    }
}

@c @implementation public func loravk_adapter_get_info(
    _ handle: OpaquePointer!, _ info: UnsafeMutablePointer<loravk_adapter_info>!
) -> loravk_status {
    call {
        let object = try adapterObject(handle)
        try write(
            loravk_adapter_info(
                object.adapter.config, method: object.adapter.method, modules: object.adapter.layers.count,
                parameters: object.parameters.reduce(0) { $0 + $1.shape.reduce(1, *) }),
            to: info)
    }
}

private func tell(
    _ name: String, _ type: String, _ shape: [Int], to callback: loravk_inspect_callback?,
    _ userData: UnsafeMutableRawPointer?
) {
    callback?(userData, name, type, shape.map { Int64($0) }, shape.count)
}

extension loravk_adapter_info {
    fileprivate init(_ config: PEFTConfig, method: any AdapterMethod, modules: Int, parameters: Int) {
        self.init()
        rank = Int32(clamping: config.rank)
        self.modules = Int32(clamping: modules)
        self.parameters = Int64(parameters)
        (alpha, dropout) = (config.alpha, config.dropout)
        use_rslora = config.usesRsLoRA
        copy(method.description, into: &self.method)
        copy(config.baseModel ?? "", into: &base_model)
    }
}
