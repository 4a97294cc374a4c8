// `lora-vk`: finetune, generate, evaluate and inspect from the command line.

import ArgumentParser
import LoRAVK
import VulkanCompute

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

@main
struct LoRAVKCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "lora-vk",
        abstract: "Finetune language models with LoRA on any Vulkan GPU, or on none.",
        discussion: """
            A whole round:
              lora-vk train --model MODEL.gguf --data chats.jsonl --out my-adapter
              lora-vk chat --model MODEL.gguf --adapter my-adapter
            MODEL is a GGUF file or a Hugging Face folder. The adapter is a PEFT folder.

            Environment: LORAVK_DEVICE (index or part of a name), LORAVK_VALIDATION=1 (Khronos validation layer),
            LORAVK_NO_REPLAY=1, LORAVK_SMALL_LIMITS=1, LORAVK_STAGED=1, LORAVK_FAMILY=texel|subgroup|shared|host, LORAVK_CACHE_DIR.
            """,
        version: version,
        subcommands: [
            Train.self, ShowData.self, Report.self, Sweep.self, Plan.self, Talk.self, Generate.self,
            Eval.self, Classify.self, Mix.self, Merge.self, Export.self,
            Inspect.self, Models.self, Devices.self, Tune.self, Doctor.self,
        ])

    /// Errors are one sentence on stderr and exit code 1; ArgumentParser explains wrong usage itself.
    static func main() {
        var file: ConfigFile?
        do {
            let words = Array(CommandLine.arguments.dropFirst())
            if words.first == Train.configuration.commandName { file = try ConfigFile(namedIn: words) }
            var command = try parseAsRoot(file?.words ?? words)
            try command.run()
        } catch let error as CommandExit {
            Glibc.exit(error.code)
        } catch let error where isOwn(error) {
            Terminal.error("lora-vk: \(error)")
            Glibc.exit(1)
        } catch {
            if let file, exitCode(for: error) != .success {
                Terminal.error("lora-vk: with the options of \(file.path):")
            }
            exit(withError: error)
        }
    }

    private static func isOwn(_ error: any Error) -> Bool {
        error is any OwnError
    }
}

/// Ends the program with a code after its message was printed.
struct CommandExit: Error { let code: Int32 }
