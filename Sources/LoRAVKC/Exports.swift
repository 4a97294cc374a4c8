// Chapter "Export" of loravk.h: from files to files, without a device.

import CLoRAVK
import Checkpoints
import LoRAVK

/// What all exports take, checked.
private struct Export {
    let model: Checkpoint
    let output: String
    let config: loravk_export_config

    init(
        _ modelPath: UnsafePointer<CChar>?, _ output: UnsafePointer<CChar>?,
        _ config: UnsafePointer<loravk_export_config>?
    ) throws {
        let modelPath = try text(modelPath, "model_path")
        self.output = try text(output, "output")
        self.config = try read(config, defaults: .defaults)
        guard self.config.max_shard_bytes > 0 else {
            throw APIError.argument(
                "config.max_shard_bytes is \(self.config.max_shard_bytes); it must be positive")
        }
        if FileSystem.isFile(self.output), !self.config.overwrite {
            throw FileError(
                self.output, "is there already", remedy: "choose another name, or set config.overwrite")
        }
        model = try Checkpoint.open(path: modelPath)
    }

    func type<Value>(_ named: (String) -> Value?) throws -> Value? {
        try optionalText(config.type, "config.type").map { name in
            guard let type = named(name) else {
                throw APIError.argument("config.type is '\(name)', which is no type of weights")
            }
            return type
        }
    }

    /// Runs an export that its callback may give up.
    func write<Result>(_ body: (ExportObserver) throws -> Result) throws -> Result {
        var goesOn = true
        let config = config
        let observer = ExportObserver(
            shouldStop: { !goesOn },
            onTensor: { done, total in
                if let callback = config.on_tensor {
                    goesOn = callback(config.user_data, Int64(done), Int64(total))
                }
            })
        do { return try body(observer) } catch {
            if goesOn { throw error }
            throw APIError(LORAVK_ERROR_INVALID_STATE, "on_tensor gave up writing \(output)")
        }
    }
}

@c @implementation public func loravk_export_adapter(
    _ modelPath: UnsafePointer<CChar>!, _ adapterFolder: UnsafePointer<CChar>!,
    _ output: UnsafePointer<CChar>!,
    _ config: UnsafePointer<loravk_export_config>!
) -> loravk_status {
    call {
        let adapterFolder = try text(adapterFolder, "adapter_folder")
        let export = try Export(modelPath, output, config)
        let type = try export.type { name in
            StorageType.allCases.first { $0.name.lowercased() == name.lowercased() }
        }
        let adapter = try AdapterFiles(adapterFolder)
        try export.write { observer in
            try GGUFExport.write(
                adapter, for: export.model, type: type ?? .f32, to: export.output, observer: observer)
        }
    }
}

@c @implementation public func loravk_export_merged(
    _ modelPath: UnsafePointer<CChar>!, _ adapterFolder: UnsafePointer<CChar>!,
    _ output: UnsafePointer<CChar>!,
    _ config: UnsafePointer<loravk_export_config>!, _ report: UnsafeMutablePointer<loravk_merge_report>!
) -> loravk_status {
    call {
        try checkRoom(report)
        let adapterFolder = try text(adapterFolder, "adapter_folder")
        let export = try Export(modelPath, output, config)
        var settings = MergeConfig()
        if let type = try export.type(FileType.named) { settings.store(as: type, export.model) }
        settings.maxShardBytes = Int(export.config.max_shard_bytes)
        let adapter = try AdapterFiles(adapterFolder)
        let merged = try export.write { observer in
            try Merge.write(
                adapter, into: export.model, to: export.output, config: settings, observer: observer)
        }
        var result = loravk_merge_report()
        result.modules = Int64(merged.modules.count)
        result.kept = merged.total.kept
        result.relative_error = merged.total.relativeError
        let most = merged.byType.max { $0.modules < $1.modules }
        copy(most?.type.name ?? "", into: &result.type)
        try give(result, to: report)
    }
}

@c @implementation public func loravk_export_model(
    _ modelPath: UnsafePointer<CChar>!, _ output: UnsafePointer<CChar>!,
    _ config: UnsafePointer<loravk_export_config>!
) -> loravk_status {
    call {
        let export = try Export(modelPath, output, config)
        let type = try export.type(FileType.named)
        try export.write { observer in
            try Convert.write(
                export.model, to: export.output, type: type,
                maxShardBytes: Int(export.config.max_shard_bytes), observer: observer)
        }
    }
}
