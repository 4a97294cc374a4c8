// The built program where no GPU and no Python is needed: help, wrong usage, and files that `inspect` reads or refuses.

import Foundation
import Testing

@Suite struct CLITests {
    private struct Result {
        let code: Int32
        let output: String
        let errors: String
    }

    /// The program lies beside the bundle of tests; LORAVK_BIN names another.
    private static var program: URL {
        if let path = ProcessInfo.processInfo.environment["LORAVK_BIN"] { return URL(fileURLWithPath: path) }
        var folder = URL(fileURLWithPath: CommandLine.arguments[0]).resolvingSymlinksInPath()
        while folder.path != "/" {
            folder.deleteLastPathComponent()
            let program = folder.appendingPathComponent("lora-vk")
            if FileManager.default.isExecutableFile(atPath: program.path) { return program }
        }
        return URL(fileURLWithPath: "lora-vk")
    }

    private func run(_ words: String...) throws -> Result { try run(words) }

    private func run(_ words: [String]) throws -> Result {
        let process = Process()
        process.executableURL = Self.program
        process.arguments = words
        let (output, errors) = (Pipe(), Pipe())
        (process.standardOutput, process.standardError) = (output, errors)
        process.standardInput = FileHandle.nullDevice
        try process.run()
        let texts = [output, errors].map {
            String(decoding: $0.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        }
        process.waitUntilExit()
        #expect(process.terminationReason == .exit, "\(words) ended by signal \(process.terminationStatus)")
        return Result(code: process.terminationStatus, output: texts[0], errors: texts[1])
    }

    private func fixture(_ name: String) -> String {
        let tests = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        return tests.appendingPathComponent("CheckpointsTests/Data/\(name)").path
    }

    @Test(arguments: ["train", "sweep", "plan", "generate", "eval", "merge", "export", "inspect", "devices"])
    func everyCommandExplainsItself(_ command: String) throws {
        let help = try run(command, "--help")
        #expect(help.code == 0 && help.errors.isEmpty)
        #expect(help.output.contains("USAGE: lora-vk \(command)") && help.output.contains("OVERVIEW: "))
        let all = try run("--help")
        #expect(all.code == 0 && all.output.contains("  \(command) "))
    }

    @Test(arguments: [
        ["fly"], ["train"], ["train", "--rank", "x"], ["inspect"], ["devices", "--fast"],
        ["train", "--model", "m", "--data", "d", "--out", "o", "--resume", "--overwrite"],
    ])
    func wrongUsageIsExplained(_ words: [String]) throws {
        let process = try run(words)
        #expect(process.code == 64 && process.output.isEmpty)
        #expect(process.errors.hasPrefix("Error: ") && process.errors.contains("Usage: lora-vk"))
    }

    @Test func modelsAndAdaptersAreDescribed() throws {
        let folder = try run("inspect", fixture("tiny-hf"))
        #expect(folder.code == 0 && folder.output.hasPrefix("Hugging Face model, architecture llama\n"))
        let gguf = try run("inspect", fixture("tiny.gguf"), "--tensors")
        #expect(gguf.code == 0 && gguf.output.hasPrefix("GGUF model, architecture llama\n"))
        #expect(gguf.output.contains("  model.layers.0.self_attn.q_proj.weight  ["))
        let adapter = try run("inspect", fixture("adapters/plain"))
        #expect(adapter.code == 0 && adapter.output.contains("PEFT LoRA adapter for"))
    }

    @Test func memoryIsPlannedAndRefusedByTheNumbers() throws {
        let plan = try run("plan", "--model", fixture("tiny-hf"), "--rank", "4", "2x8", "1x16")
        let lines = plan.output.split(separator: "\n").map { $0.split(separator: " ").map(String.init) }
        #expect(plan.code == 0 && lines.count == 6 && lines[1].last == "total")
        #expect(lines[2...].map { $0[0] } == ["2x8", "2x8", "1x16", "1x16"])
        for line in lines[2...] {
            let numbers = line.dropFirst(3).compactMap { Int($0) }
            #expect(numbers.count == 7 && numbers.dropLast().reduce(0, +) == numbers.last)
        }
        let small = try run("plan", "--model", fixture("tiny-hf"), "--memory", "1MB", "2x8")
        #expect(small.code == 1 && small.errors.contains("training needs 67 MB of device memory"))
        let wrong = try run("plan", "--model", fixture("tiny-hf"), "--memory", "much", "2x8")
        #expect(wrong.code == 64 && wrong.errors.contains("--memory"))
    }

    /// Settings are checked before a model is opened, which shows what was read.
    @Test(arguments: [
        (#"{"rank": 0}"#, [], 1, "the LoRA rank is 0"),
        (#"{"rank": 0}"#, ["--rank", "5000"], 1, "the LoRA rank is 5000"),
        (
            #"{"rank": 2, "targets": ["q_proj", "v_proj"], "rslora": true, "dropout": 1.5}"#, [], 1,
            "dropout is 1.5"
        ),
        (
            #"{"module-lr": {"q_proj": -1}, "rslora": false, "alpha": null}"#, [], 1,
            "'q_proj' is multiplied by -1.0"
        ),
        (#"{"method": "rocoft", "init": "kaiming"}"#, [], 1, "leave --init away"),
        (#"{"rnak": 4}"#, [], 64, "Unknown option '--rnak'. Did you mean '--rank'?"),
        (#"{"rank": "many"}"#, [], 64, "The value 'many' is invalid for '--rank"),
        (#"{"rank": true}"#, [], 64, "Missing value for '--rank"),
        (#"{"rslora": 1}"#, [], 64, "The option '--rslora' does not take any value"),
        (#"{"config": "other.json"}"#, [], 1, "names another file"),
        (#"{"targets": [["q_proj"]]}"#, [], 1, "expected an array of words or numbers"),
        (#"[1]"#, [], 1, "expected an object"),
    ])
    func trainReadsItsOptionsFromAFile(
        _ json: String, _ words: [String], _ code: Int32, _ sentence: String
    ) throws {
        let file = FileManager.default.temporaryDirectory.appendingPathComponent(
            "loravk-\(UUID().uuidString).json")
        defer { try? FileManager.default.removeItem(at: file) }
        try json.write(to: file, atomically: true, encoding: .utf8)
        let result = try run(
            ["train", "--model", "m", "--data", "d", "--out", "o", "--config", file.path] + words)
        #expect(result.code == code && result.errors.contains(sentence), "\(result.errors)")
        #expect((code == 64) == result.errors.hasPrefix("lora-vk: with the options of \(file.path):\n"))
    }

    @Test(arguments: [
        ("nothing-there", "does not exist; name a Hugging Face folder or a .gguf file"),
        ("adapters", "has no config.json; name the folder of the base model"),
        ("rope.json", "rope.json"),
    ])
    func whatIsNoModelIsRefusedInOneSentence(name: String, reason: String) throws {
        let result = try run("inspect", fixture(name))
        #expect(result.code == 1 && result.output.isEmpty)
        #expect(result.errors.hasPrefix("lora-vk: \(fixture(name))") && result.errors.contains(reason))
        #expect(result.errors.split(separator: "\n").count == 1)
    }

    /// A GGUF file cut anywhere is refused, and never ends the program by a signal.
    @Test func aCutFileIsRefusedWhereverItIsCut() throws {
        let whole = try Data(contentsOf: URL(fileURLWithPath: fixture("tiny.gguf")))
        let path = FileManager.default.temporaryDirectory.appendingPathComponent(
            "loravk-\(UUID().uuidString).gguf")
        defer { try? FileManager.default.removeItem(at: path) }
        for kept in stride(from: 0, to: whole.count, by: whole.count / 40) {
            try whole.prefix(kept).write(to: path)
            let result = try run("inspect", path.path)
            #expect(result.code == 1 && result.errors.hasPrefix("lora-vk: \(path.path)"), "cut at \(kept)")
        }
    }

    /// Names and texts of a file reach a terminal without what would steer it.
    @Test func inspectShowsControlCharactersAsText() throws {
        let folder = NSTemporaryDirectory() + "loravk-\(UUID().uuidString)"
        defer { try? FileManager.default.removeItem(atPath: folder) }
        try FileManager.default.copyItem(atPath: fixture("adapters/plain"), toPath: folder)
        let path = URL(fileURLWithPath: folder + "/adapter_config.json")
        var config = try #require(
            try JSONSerialization.jsonObject(with: Data(contentsOf: path)) as? [String: Any])
        config["base_model_name_or_path"] = "\u{1B}]0;title\u{7}base\u{9B}2J"
        try JSONSerialization.data(withJSONObject: config).write(to: path)
        let result = try run("inspect", folder)
        #expect(result.code == 0 && result.output.contains("base"))
        config["new\u{1B}[31mkey"] = 1
        try JSONSerialization.data(withJSONObject: config).write(to: path)
        let refusal = try run("inspect", folder)
        #expect(refusal.code == 1 && refusal.errors.contains("key' is the number 1"))
        for text in [result.output, result.errors, refusal.errors] {
            #expect(!text.unicodeScalars.contains { $0.value < 0x20 && $0 != "\n" && $0 != "\t" })
            #expect(!text.unicodeScalars.contains { 0x7F..<0xA0 ~= $0.value })
        }
    }
}
