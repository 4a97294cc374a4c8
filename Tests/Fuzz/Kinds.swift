// The kinds of files, and what is done with each: what a program does that got one from the internet.

import CLoRAVK
import Checkpoints
import Glibc
import LoRAVK
import LoRAVKC
import Sweeps
import Tokenizer
import VulkanCompute

struct Kind {
    typealias Run = (Mutation) -> Outcome
    let name: String
    let prepare: () throws -> Run

    /// What stays whole in half of the cases.
    private enum Format {
        case json, safetensors, text
    }

    static var all: [Kind] {
        [
            model("config", "config.json", head: .max, .json),
            model("safetensors", "model.safetensors", head: 2048, .safetensors),
            model("index", "model.safetensors.index.json", head: .max, .json),
            gguf("gguf", ["tiny.gguf", "quants.gguf", "quantised.gguf"]),
            Kind(name: "gguf-tokenizer") {
                let seeds = [try Seeds.gguf("gpt2"), try Seeds.gguf("llama")]
                return { mutation in
                    var mutation = mutation
                    Work.write(mutation.bytes(mutation.pick(seeds), head: 9000), "model.gguf")
                    return tokenizer(Work.path("model.gguf"), &mutation)
                }
            },
            tokenizerFile("tokenizer", "tokenizer.json"),
            tokenizerFile("tokenizer-config", "tokenizer_config.json"),
            tokenizerFile("template", "chat_template.jinja"),
            adapter("adapter-config", "adapter_config.json", .json),
            adapter("adapter-weights", "adapter_model.safetensors", .safetensors),
            Kind(name: "state", prepare: state),
            Kind(name: "data", prepare: data),
            Kind(name: "tuning") {
                let seed = try Seeds.text("tuning.txt")
                return { mutation in
                    var mutation = mutation
                    let tuning = Tuning(text: String(decoding: mutation.bytes(seed), as: UTF8.self))
                    return Tuning(text: tuning.text) == tuning ? .accepted : .refused
                }
            },
            Kind(name: "sweep", prepare: sweep),
            Kind(name: "caches", prepare: caches),
            Kind(name: "run-config", prepare: runConfig),
        ]
    }

    // MARK: Models

    private static func model(_ name: String, _ file: String, head: Int, _ format: Format) -> Kind {
        Kind(name: name) {
            mkdir(Work.path("model"), 0o700)
            let config = try Seeds.file("tiny-hf/config.json")
            let seed =
                name == "config"
                ? config
                : name == "index" ? try Seeds.index() : try Seeds.file("tiny-hf/model.safetensors")
            Work.write(config, "model/config.json")
            if name == "config" {
                Work.write(try Seeds.file("tiny-hf/model.safetensors"), "model/model.safetensors")
            }
            if name == "index" {
                for part in 1...3 {
                    let file = "model-0000\(part)-of-00003.safetensors"
                    Work.write(try Seeds.file("tiny-hf-sharded/\(file)"), "model/\(file)")
                }
            }
            return { mutation in
                var mutation = mutation
                Work.write(changed(seed, &mutation, head, format), "model/\(file)")
                return use(model: Work.path("model"), &mutation)
            }
        }
    }

    private static func gguf(_ name: String, _ files: [String]) -> Kind {
        Kind(name: name) {
            let seeds = try files.map(Seeds.file)
            return { mutation in
                var mutation = mutation
                Work.write(mutation.bytes(mutation.pick(seeds), head: 3000), "model.gguf")
                return use(model: Work.path("model.gguf"), &mutation)
            }
        }
    }

    nonisolated(unsafe) private static var context: OpaquePointer?

    private static func openContext() -> OpaquePointer? {
        if context == nil, loravk_context_create(nil, &context) != LORAVK_OK { context = nil }
        return context
    }

    private static func use(model path: String, _ mutation: inout Mutation) -> Outcome {
        var info = loravk_model_info()
        info.struct_size = MemoryLayout<loravk_model_info>.size
        if complaint(loravk_model_inspect(path, nil, nil, &info)) { return .refused }
        if mutation.chance(4) {
            var config = loravk_plan_config()
            config.struct_size = MemoryLayout<loravk_plan_config>.size
            (config.batch_size, config.length) = (1, 8)
            var plan = loravk_memory_plan()
            plan.struct_size = MemoryLayout<loravk_memory_plan>.size
            if complaint(loravk_plan_training(nil, path, &config, &plan)) { return .refusedLater }
        }
        // A share loads what is small enough, and computes.
        guard info.weight_bytes < 1 << 22, info.vocab_size < 1 << 16, mutation.chance(50),
            let context = openContext()
        else { return .accepted }
        var model: OpaquePointer?
        if complaint(loravk_model_load(context, path, nil, &model)) { return .refusedLater }
        defer { loravk_model_release(model) }
        var logits = [Float](repeating: 0, count: 2 * Int(info.vocab_size))
        let status = loravk_model_logits(model, nil, [0, 0], 1, 2, &logits, logits.count)
        return complaint(status) ? .refusedLater : .accepted
    }

    /// Half of the JSON files stay JSON.
    private static func changed(_ seed: [UInt8], _ mutation: inout Mutation, _ head: Int, _ format: Format)
        -> [UInt8]
    {
        guard format != .text, mutation.chance(2) else { return mutation.bytes(seed, head: head) }
        if format == .json, let json = try? JSON.parse(seed, path: "seed") {
            return Array(mutation.json(json).text(.compact).utf8)
        }
        // safetensors: the header changes, and its length goes with it.
        let length = seed.prefix(8).reversed().reduce(0) { $0 << 8 | Int($1) }
        guard let header = try? JSON.parse(Array(seed[8..<8 + length]), path: "seed") else {
            return mutation.bytes(seed, head: head)
        }
        let text = Array(mutation.json(header).text(.compact).utf8)
        let size = (0..<8).map { UInt8(truncatingIfNeeded: text.count >> ($0 * 8)) }
        return size + text + seed[(8 + length)...]
    }

    // MARK: Tokenizers

    private static func tokenizerFile(_ name: String, _ file: String) -> Kind {
        Kind(name: name) {
            mkdir(Work.path("model"), 0o700)
            Work.write(try Seeds.file("tiny-hf/config.json"), "model/config.json")
            Work.write(try Seeds.file("tiny-hf/model.safetensors"), "model/model.safetensors")
            for other in ["tokenizer.json", "tokenizer_config.json", "chat_template.jinja"] {
                // The template's own file goes before the one of the config.
                if other == "chat_template.jinja", name == "tokenizer-config" { continue }
                Work.write(try Seeds.text(other), "model/\(other)")
            }
            let more = file == "tokenizer.json" ? ["wordpiece.json", "unigram.json"] : []
            let seeds = try ([file] + more).map(Seeds.text)
            return { mutation in
                var mutation = mutation
                let seed = mutation.pick(seeds)
                Work.write(
                    changed(seed, &mutation, .max, file.hasSuffix("json") ? .json : .text), "model/\(file)")
                return tokenizer(Work.path("model"), &mutation)
            }
        }
    }

    private static func tokenizer(_ path: String, _ mutation: inout Mutation) -> Outcome {
        let tokenizer: Tokenizer
        do throws(FileError) {
            // As loravk_tokenizer_load, without the weights beside it.
            tokenizer = try Tokenizer.load(
                path.hasSuffix(".gguf")
                    ? .gguf(GGUFFile(path).metadata) : Checkpoint.tokenizerSource(inFolder: path))
        } catch {
            checkText("\(error)")
            return .refused
        }
        let text = mutation.text()
        let ids = tokenizer.encode(text)
        let pieces = try? tokenizer.encode(
            pieces: [text, mutation.text(), text], addSpecialTokens: mutation.chance(2))
        precondition(pieces?.count ?? 3 == 3)
        _ = tokenizer.decode(ids + [-1, .max], skipSpecialTokens: mutation.chance(2))
        do {
            guard let renderer = try ChatRenderer(tokenizer) else { return .accepted }
            let chat = Chat([
                ("system", "b"), ("user", text), ("assistant", "ab"), ("user", "x"), ("assistant", "y"),
            ])
            _ = try renderer.render(chat, addGenerationPrompt: mutation.chance(2))
            _ = try renderer.learned(chat)
        } catch {
            checkText("\(error)")
            return .refusedLater
        }
        return .accepted
    }

    // MARK: Adapters

    private static func adapter(_ name: String, _ file: String, _ format: Format) -> Kind {
        Kind(name: name) {
            mkdir(Work.path("adapter"), 0o700)
            let names = ["plain", "patterns", "dora", "vera", "saved"]
            let files = ["adapter_config.json", "adapter_model.safetensors"]
            let seeds = try names.map { name in try files.map { try Seeds.file("adapters/\(name)/\($0)") } }
            var model: OpaquePointer?
            return { mutation in
                var mutation = mutation
                let seed = mutation.pick(seeds)
                let index = format == .json ? 0 : 1
                Work.write(seed[1 - index], "adapter/\(files[1 - index])")
                Work.write(changed(seed[index], &mutation, 1500, format), "adapter/\(file)")
                var info = loravk_adapter_info()
                info.struct_size = MemoryLayout<loravk_adapter_info>.size
                if complaint(loravk_adapter_inspect(Work.path("adapter"), nil, nil, &info)) {
                    return .refused
                }
                guard info.rank < 512, mutation.chance(20), let context = openContext() else {
                    return .accepted
                }
                if model == nil {
                    mkdir(Work.path("base"), 0o700)
                    for file in ["config.json", "model.safetensors"] {
                        if let bytes = try? Seeds.file("tiny-hf/\(file)") {
                            Work.write(bytes, "base/\(file)")
                        }
                    }
                    _ = complaint(loravk_model_load(context, Work.path("base"), nil, &model))
                }
                var adapter: OpaquePointer?
                if complaint(loravk_adapter_load(model, Work.path("adapter"), &adapter)) {
                    return .refusedLater
                }
                defer { loravk_adapter_release(adapter) }
                var logits = [Float](repeating: 0, count: 1 << 16)
                _ = complaint(loravk_model_logits(model, adapter, [0, 0], 1, 2, &logits, logits.count))
                return .accepted
            }
        }
    }

    private static func state() throws -> Run {
        mkdir(Work.path("base"), 0o700)
        for file in ["config.json", "model.safetensors"] {
            Work.write(try Seeds.file("tiny-hf/\(file)"), "base/\(file)")
        }
        guard let context = openContext() else { throw FileError("the device", "is not there") }
        var (model, adapter, trainer): (OpaquePointer?, OpaquePointer?, OpaquePointer?)
        _ = complaint(loravk_model_load(context, Work.path("base"), nil, &model))
        var config = loravk_adapter_config()
        config.struct_size = MemoryLayout<loravk_adapter_config>.size
        (config.rank, config.alpha) = (2, 4)
        _ = complaint(loravk_adapter_create(model, &config, &adapter))
        var training = loravk_trainer_config()
        training.struct_size = MemoryLayout<loravk_trainer_config>.size
        (training.learning_rate, training.beta1, training.beta2, training.epsilon) = (1e-3, 0.9, 0.999, 1e-8)
        _ = complaint(loravk_trainer_create(model, adapter, &training, &trainer))
        let path = Work.path("state.safetensors")
        guard !complaint(loravk_trainer_save_state(trainer, path)) else {
            throw FileError(path, "is not there")
        }
        let seed = try FileSystem.contents(of: path)
        return { mutation in
            var mutation = mutation
            Work.write(changed(seed, &mutation, 4000, .safetensors), "state.safetensors")
            return complaint(loravk_trainer_load_state(trainer, path)) ? .refused : .accepted
        }
    }

    // MARK: Data, sweeps, caches, options

    private static func data() throws -> Run {
        mkdir(Work.path("model"), 0o700)
        for file in ["tokenizer.json", "tokenizer_config.json", "chat_template.jinja"] {
            Work.write(try Seeds.text(file), "model/\(file)")
        }
        let tokenizer = try Tokenizer.load(Checkpoint.tokenizerSource(inFolder: Work.path("model")))
        let lines = try Seeds.text("data.jsonl").split(separator: UInt8(ascii: "\n")).map(Array.init)
        return { mutation in
            var mutation = mutation
            var text: [UInt8] = []
            for _ in 0...mutation.below(3) {
                text += changed(mutation.pick(lines), &mutation, .max, .json) + [0x0A]
            }
            let name = mutation.chance(10) ? "data.txt" : "data.jsonl"
            Work.write(text, name)
            var format = TextFormat()
            (format.maxTokens, format.learnsPrompts) = (32, mutation.chance(4))
            format.kind = mutation.pick([.plain, .plain, .pair, .judged])
            if mutation.chance(8) {
                (format.promptTemplate, format.completionTemplate) = ("{text}{{", "{prompt:a|b}")
            }
            do {
                _ = try Dataset(Work.path(name), tokenizer: tokenizer, format: format)
                return .accepted
            } catch {
                checkText("\(error)")
                return .refused
            }
        }
    }

    private static func sweep() throws -> Run {
        let seed = try Seeds.sweep()
        let folder = Work.path("sweep")
        return { mutation in
            var mutation = mutation
            mkdir(folder, 0o700)
            for file in ["sweep.sqlite-wal", "sweep.sqlite-shm", "sweep.sqlite-journal"] {
                unlink("\(folder)/\(file)")
            }
            Work.write(mutation.bytes(seed), "sweep/sweep.sqlite")
            do {
                let store = try SweepStore(folder, settings: ["steps": .integer(2)])
                let results = try store.results()
                try SweepReport(results, settings: store.settings()).write(to: folder)
                return .accepted
            } catch {
                checkText("\(error)")
                return .refused
            }
        }
    }

    /// All files of the cache folder, at the opening of a device.
    private static func caches() throws -> Run {
        let folder = Work.path("cache")
        setenv("LORAVK_CACHE_DIR", folder, 1)
        mkdir(folder, 0o700)
        var context: OpaquePointer?
        _ = complaint(loravk_context_create(nil, &context))
        loravk_context_release(context)
        let names = try FileSystem.names(in: folder)
        let seeds = try names.map { try FileSystem.contents(of: "\(folder)/\($0)") }
        return { mutation in
            var mutation = mutation
            for (name, seed) in zip(names, seeds) {
                Work.write(mutation.bytes(seed, head: 64), "cache/\(name)")
            }
            var context: OpaquePointer?
            defer { loravk_context_release(context) }
            return complaint(loravk_context_create(nil, &context)) ? .refused : .accepted
        }
    }

    /// By the program beside this one: its options are not in the library.
    private static func runConfig() throws -> Run {
        let seed = try Seeds.text("run.json")
        let program = FileSystem.folder(of: FileSystem.resolved("/proc/self/exe") ?? "") + "/lora-vk"
        let silent = open("/dev/null", O_RDWR)
        return { mutation in
            var mutation = mutation
            Work.write(changed(seed, &mutation, .max, .json), "run.json")
            var actions = posix_spawn_file_actions_t()
            posix_spawn_file_actions_init(&actions)
            for descriptor in 0..<Int32(3) { posix_spawn_file_actions_adddup2(&actions, silent, descriptor) }
            defer { posix_spawn_file_actions_destroy(&actions) }
            let texts: [String] = [program, "train", "--config", Work.path("run.json")]
            let words: [UnsafeMutablePointer<CChar>?] = texts.map { text in strdup(text) }
            defer { words.forEach { free($0) } }
            var child = pid_t()
            guard posix_spawn(&child, program, &actions, nil, words + [nil], environ) == 0 else {
                return .refused
            }
            var status: Int32 = 0
            waitpid(child, &status, 0)
            // A signal is a crash: it goes on as one of this process.
            if status & 0x7F != 0 { abort() }
            return status >> 8 == 0 ? .accepted : .refused
        }
    }
}
