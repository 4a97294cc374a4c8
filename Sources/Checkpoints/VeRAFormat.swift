// VeRA in PEFT's files: base_model.model.MODULE.vera_lambda_d (R), .vera_lambda_b (out), and for all layers
// base_model.vera_A (R, widest in), base_model.vera_B (widest out, R). ΔW = diag(b)·B·diag(d)·A of the layer's top-left blocks.

extension AdapterFiles.Part {
    package static let veraD = Self(".vera_lambda_d")
    package static let veraB = Self(".vera_lambda_b")
}

extension AdapterFiles.Shared {
    package static let veraA = Self("base_model.vera_A")
    package static let veraB = Self("base_model.vera_B")
}

struct VeRAFormat: AdapterFormat {
    let name = "VeRA"
    let parts: [AdapterFiles.Part] = [.veraD, .veraB]
    let shared: [AdapterFiles.Shared] = [.veraA, .veraB]
    let dropoutKey = "vera_dropout"
    let initializationKey = "init_weights"

    func read(_ fields: JSONFields, into config: inout PEFTConfig) throws(FileError) {
        config.veraStart = try fields.optionalNumber("d_initial") ?? config.veraStart
        config.veraKey = try fields.optionalInteger("projection_prng_key") ?? config.veraKey
    }

    func write(_ config: PEFTConfig, _ set: (String, JSON) -> Void) {
        set("d_initial", .double(config.veraStart))
        set("projection_prng_key", .integer(config.veraKey))
    }

    func update(_ tensors: AdapterTensors, _ config: PEFTConfig) throws(FileError) -> AdapterUpdate {
        guard let d = tensors.parts[.veraD], let b = tensors.parts[.veraB] else {
            throw tensors.wrong(
                "has no \((tensors.parts[.veraD] == nil ? AdapterFiles.Part.veraD : .veraB).word)")
        }
        guard let sharedA = tensors.shared[.veraA], let sharedB = tensors.shared[.veraB] else {
            throw FileError(
                tensors.path,
                "holds no \(tensors.shared[.veraA] == nil ? "vera_A" : "vera_B"), which the layers share",
                remedy: "save the adapter with save_projection=True")
        }
        guard sharedA.shape.count == 2, sharedB.shape.count == 2, sharedA.rows == sharedB.columns,
            d.shape == [sharedA.rows], b.shape.count == 1, b.count <= sharedB.rows
        else {
            throw tensors.wrong(
                "has a vera_lambda_d of \(d.shape) and a vera_lambda_b of \(b.shape), and shares a vera_A of "
                    + "\(sharedA.shape) and a vera_B of \(sharedB.shape), expected (R), (out), (R, widest in) and "
                    + "(widest out, R)")
        }
        return AdapterUpdate(
            loraA: AdapterMatrix(sharedA, isShared: true),
            loraB: AdapterMatrix(sharedB, rowFactors: try b.floats(), columnFactors: try d.floats()))
    }

    var defaults: JSON.Object { Self.defaults }
    private static let defaults: JSON.Object = [
        "auto_mapping": .null, "base_model_name_or_path": .null, "bias": .string("none"),
        "d_initial": .double(0.1), "fan_in_fan_out": .bool(false), "inference_mode": .bool(true),
        "init_weights": .bool(true), "layers_pattern": .null, "layers_to_transform": .null,
        "modules_to_save": .null, "peft_type": .string("VERA"), "projection_prng_key": .integer(0),
        "r": .integer(256), "revision": .null, "save_projection": .bool(true), "target_modules": .null,
        "task_type": .null, "vera_dropout": .double(0),
    ]
}
