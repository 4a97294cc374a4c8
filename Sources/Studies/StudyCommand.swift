// `loravk-study`: the studies of studies/, each one command. A subcommand a file.

import ArgumentParser

@main
struct StudyCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "loravk-study", abstract: "Repeat the studies of how LoRA is initialised.",
        subcommands: [ToyStudy.self])
}
