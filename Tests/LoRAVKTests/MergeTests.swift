// Merging: what the report says is what the files hold, whatever fails leaves no half-written model, and what does not fit is
// a sentence. That the numbers are PEFT's is tested in Tests/Oracles.

import Checkpoints
import Foundation
import LoRAVK
import TestSupport
import Testing

@Suite struct MergeTests {
    private static let modules = ["model.layers.0.self_attn.q_proj", "model.layers.1.mlp.down_proj"]

    /// A tiny model and an adapter of two of its modules, in a folder; sizes (out, in) of the modules are those of TinyModel.
    private func withModel(
        deviation: Float = 0.2, _ body: (_ model: String, _ adapter: String, _ folder: String) throws -> Void
    ) throws {
        try withTemporaryFolder { folder in
            let (model, adapter) = ("\(folder)/model", "\(folder)/adapter")
            try FileSystem.makeFolder(model)
            try TinyModel().write(to: model)
            try writeAdapter(adapter, deviation: deviation)
            try body(model, adapter, folder)
        }
    }

    private func writeAdapter(_ folder: String, deviation: Float, inFeatures: Int? = nil) throws {
        var random = RandomValues(seed: 3)
        var tensors: [TensorSource] = []
        for (name, shape) in zip(Self.modules, [(out: 32, in: 32), (out: 32, in: 64)]) {
            let width = inFeatures ?? shape.in
            tensors.append(
                TensorSource(
                    AdapterFiles.key(name, .loraA), shape: [4, width],
                    random.normal(4 * width, deviation: deviation)))
            tensors.append(
                TensorSource(
                    AdapterFiles.key(name, .loraB), shape: [shape.out, 4],
                    random.normal(4 * shape.out, deviation: deviation)))
        }
        let config = PEFTConfig(rank: 4, alpha: 6, targetModules: .names(Self.modules))
        try AdapterFiles.write(config, tensors, to: folder)
    }

    /// A GGUF of the tiny model, all weights F32.
    private func writeGGUF(_ model: String, to path: String) throws {
        try TinyCheckpoint.writeGGUF(ofFolder: model, to: path)
    }

    /// W + 1.5·B·A of a module in f64.
    private func exact(_ base: Checkpoint, _ module: AdapterModule) throws -> (
        before: [Double], after: [Double]
    ) {
        let weight = try base.tensor(module.name + ".weight").floats().map(Double.init)
        let (a, b) = (try module.loraA.floats(), try module.loraB.floats())
        let width = module.loraA.columns
        var after = weight
        for i in 0..<module.loraB.rows {
            for j in 0..<width {
                after[i * width + j] += (0..<4).reduce(0.0) {
                    $0 + 1.5 * Double(b[i * 4 + $1]) * Double(a[$1 * width + j])
                }
            }
        }
        return (weight, after)
    }

    private func norm(_ values: [Double]) -> Double { values.reduce(0) { $0 + $1 * $1 }.squareRoot() }

    @Test(arguments: [nil, "F32", "F16", "BF16", "Q8_0", "Q5_1", "Q4_0", "Q4_1"])
    func theReportIsWhatTheFileHolds(_ name: String?) throws {
        try withModel { model, adapter, folder in
            let files = try AdapterFiles(adapter)
            try writeGGUF(model, to: folder + "/model.gguf")
            let base = try Checkpoint.open(path: folder + "/model.gguf")
            var config = MergeConfig()
            config.type = name.flatMap(StorageType.init(rawValue:))
            let report = try Merge.write(files, into: base, to: folder + "/out.gguf", config: config)
            let merged = try Checkpoint.open(path: folder + "/out.gguf")
            #expect(Set(report.modules.map(\.name)) == Set(Self.modules))
            for module in files.modules {
                let stored = try merged.tensor(module.name + ".weight")
                #expect(stored.type == config.type ?? .f32)
                let (before, after) = try exact(base, module)
                let update = zip(after, before).map { $0 - $1 }
                let got = try stored.floats().map(Double.init)
                let error = norm(zip(got, after).map { $0 - $1 }) / norm(update)
                let carried = zip(zip(got, before).map { $0 - $1 }, update).reduce(0.0) { $0 + $1.0 * $1.1 }
                let loss = try #require(report.modules.first { $0.name == module.name }).loss
                #expect(abs(loss.relativeError - error) < 1e-6 + 1e-4 * error, "\(module.name)")
                #expect(abs(loss.kept - carried / norm(update) / norm(update)) < 1e-5)
            }
            for tensor in base.tensors where !Self.modules.contains(String(tensor.name.dropLast(7))) {
                #expect(try merged.tensor(tensor.name).storedBytes() == tensor.storedBytes())
            }
        }
    }

    @Test func aSmallUpdateDrownsAndABetterTypeIsNamed() throws {
        try withModel(deviation: 0.01) { model, adapter, folder in
            try writeGGUF(model, to: folder + "/model.gguf")
            var config = MergeConfig()
            config.type = .q4_0
            let report = try Merge.write(
                AdapterFiles(adapter), into: Checkpoint.open(path: folder + "/model.gguf"),
                to: folder + "/out.gguf", config: config)
            #expect(report.total.relativeError > 1)
            let better = try #require(report.better)
            #expect(better.loss.isKept)
            config.type = better.type
            let again = try Merge.write(
                AdapterFiles(adapter), into: Checkpoint.open(path: folder + "/model.gguf"),
                to: folder + "/out.gguf", config: config)
            #expect(again.better == nil && again.total.relativeError < MergeReport.drowning)
            // The matrices have fewer rows than are sampled: the estimate is the result.
            #expect(isClose(again.total.relativeError, better.loss.relativeError, 1e-6))
        }
    }

    /// Without a type: a quantised one that would lose the update gives way to the first that keeps it.
    @Test func quantisedWeightsBecomeTheFirstTypeThatKeepsTheUpdate() throws {
        let cases: [(deviation: Float, type: StorageType)] = [(0.05, .q8_0), (0.01, .f16), (0.002, .f32)]
        for (deviation, wanted) in cases {
            try withModel(deviation: deviation) { model, adapter, folder in
                try writeGGUF(model, to: folder + "/model.gguf")
                var config = MergeConfig()
                config.type = .q4_0
                let files = try AdapterFiles(adapter)
                // A model in Q4_0: merged once as that.
                _ = try Merge.write(
                    files, into: Checkpoint.open(path: folder + "/model.gguf"), to: folder + "/q4.gguf",
                    config: config)
                let small = try Checkpoint.open(path: folder + "/q4.gguf")
                let report = try Merge.write(files, into: small, to: folder + "/out.gguf")
                #expect(report.total.isKept && report.better == nil)
                #expect(report.widened.map(\.before) == [.q4_0] && report.widened.first?.after == wanted)
                #expect(report.modules.allSatisfy { $0.type == wanted })
                let told = try Merge.write(files, into: small, to: folder + "/small.gguf", config: config)
                #expect(!told.total.isKept && told.better?.type == wanted && told.widened.isEmpty)
            }
        }
    }

    @Test func aFolderIsNoGGUFFile() throws {
        try withModel { model, adapter, folder in
            #expect(throws: FileError.self) {
                try Merge.write(
                    AdapterFiles(adapter), into: Checkpoint.open(path: model), to: folder + "/out.gguf")
            }
            #expect(!FileSystem.exists(folder + "/out.gguf"))
        }
    }

    @Test func aFolderIsWrittenInShardsWithWhatBelongsToIt() throws {
        try withModel { model, adapter, folder in
            for (name, text) in [
                ("tokenizer.json", "{}"), ("chat_template.jinja", "x"), ("LICENSE", "free"),
                ("notes.md", "mine"),
                ("model.safetensors.index.json.old", "x"),
            ] { try AtomicFile.write(text, to: "\(model)/\(name)") }
            var config = MergeConfig()
            config.type = .f16
            config.maxShardBytes = 10_000
            let out = folder + "/a/b/out"
            _ = try Merge.write(
                AdapterFiles(adapter), into: Checkpoint.open(path: model), to: out, config: config)
            let names = try FileSystem.names(in: out)
            let shards = names.filter { $0.hasSuffix(".safetensors") }
            #expect(shards.count > 2 && shards[0] == "model-00001-of-0000\(shards.count).safetensors")
            #expect(
                names.filter { !$0.hasSuffix(".safetensors") } == [
                    "LICENSE", "chat_template.jinja", "config.json", "model.safetensors.index.json",
                    "tokenizer.json",
                ])
            for shard in shards {
                let tensors = try SafetensorsFile("\(out)/\(shard)").tensors
                #expect(tensors.count == 1 || tensors.reduce(0) { $0 + $1.byteCount } <= 10_000)
            }
            let merged = try Checkpoint.open(path: out)
            #expect(merged.tensors.allSatisfy { $0.type == .f16 })
            let fields = try JSONFields(JSON.read(out + "/config.json"), path: "")
            #expect(try fields.string("torch_dtype") == "float16")
        }
    }

    @Test func everyFaultLeavesNothing() throws {
        try withModel { model, adapter, folder in
            try writeGGUF(model, to: folder + "/model.gguf")
            let files = try AdapterFiles(adapter)
            for name in ["model", "model.gguf"] {
                let base = try Checkpoint.open(path: "\(folder)/\(name)")
                try FileSystem.makeFolder(folder + "/out")
                func merge() throws {
                    _ = try Merge.write(files, into: base, to: "\(folder)/out/\(name)")
                }
                let counter = FileFaults(failing: .max)
                try FileFaults.$active.withValue(counter) { try merge() }
                try FileManager.default.removeItem(atPath: folder + "/out")
                for nth in 1...counter.counted {
                    try FileSystem.makeFolder(folder + "/out")
                    let text = FileFaults.$active.withValue(FileFaults(failing: nth)) {
                        errorText { try merge() }
                    }
                    #expect(text?.contains("No space left on device") == true, "\(name), call \(nth)")
                    let left = try FileSystem.names(in: folder + "/out")
                    // Only making the rename durable can fail after it.
                    #expect(
                        left.isEmpty || (left == [name] && nth > counter.counted - 2), "\(name), call \(nth)")
                    for whole in left { _ = try Checkpoint.open(path: "\(folder)/out/\(whole)") }
                    try FileManager.default.removeItem(atPath: folder + "/out")
                }
            }
        }
    }

    @Test func itIsObservedAndStopped() throws {
        try withModel { model, adapter, folder in
            let base = try Checkpoint.open(path: model)
            var seen: [Int] = []
            let observer = ExportObserver(
                shouldStop: { seen.count == 5 },
                onTensor: { done, total in
                    #expect(total == base.tensors.count)
                    seen.append(done)
                })
            let text = errorText {
                _ = try Merge.write(
                    AdapterFiles(adapter), into: base, to: folder + "/out", observer: observer)
            }
            #expect(text == "\(folder)/out: stopped before it was complete, nothing was written")
            #expect(seen == [1, 2, 3, 4, 5])
            #expect(try FileSystem.names(in: folder) == ["adapter", "model"])
            let stopped = errorText {
                try GGUFExport.write(
                    AdapterFiles(adapter), for: base, to: folder + "/a.gguf",
                    observer: ExportObserver(shouldStop: { true }))
            }
            #expect(stopped?.hasSuffix("nothing was written") == true)
            #expect(try FileSystem.names(in: folder) == ["adapter", "model"])
        }
    }

    @Test func whatDoesNotFitIsASentence() throws {
        try withModel { model, adapter, folder in
            let base = try Checkpoint.open(path: model)
            func refusal(type: StorageType? = nil, to out: String, _ adapter: String = adapter) -> String {
                var config = MergeConfig()
                config.type = type
                return errorText {
                    _ = try Merge.write(AdapterFiles(adapter), into: base, to: out, config: config)
                } ?? "none"
            }
            #expect(
                refusal(type: .q8_0, to: folder + "/out")
                    == "\(folder)/out: a Hugging Face model cannot be written as Q8_0; use F32, F16, BF16")
            #expect(refusal(to: model).hasSuffix("is there already; name a folder that is not there yet"))
            #expect(refusal(to: folder + "/adapter/adapter_config.json").contains("is there already"))
            try writeAdapter(folder + "/wide", deviation: 1, inFeatures: 8)
            #expect(
                refusal(to: folder + "/out", folder + "/wide").contains(
                    "is made for 8 inputs and 32 outputs, the base model's has 32 and 32; the adapter belongs to"
                ))
            try writeAdapter(folder + "/huge", deviation: 1e4)
            #expect(
                refusal(type: .f16, to: folder + "/out", folder + "/huge").contains(
                    "more than F16 holds; use a wider"))
            try writeAdapter(folder + "/broken", deviation: .infinity)
            #expect(refusal(to: folder + "/out", folder + "/broken").contains("diverged: use an earlier one"))
            #expect(!FileSystem.exists(folder + "/out"))
            try writeGGUF(model, to: folder + "/model.gguf")
            let text = errorText {
                _ = try Merge.write(
                    AdapterFiles(adapter), into: Checkpoint.open(path: folder + "/model.gguf"), to: model)
            }
            #expect(text == "\(model): is a folder, and what is written is a file; name a file")
            let typed = errorText {
                try GGUFExport.write(AdapterFiles(adapter), for: base, type: .q8_0, to: folder + "/a.gguf")
            }
            #expect(typed == "\(folder)/a.gguf: an adapter cannot be stored as Q8_0; use F32, F16, BF16")
        }
    }
}
