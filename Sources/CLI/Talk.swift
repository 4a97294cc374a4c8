import ArgumentParser
import Checkpoints
import LoRAVK
import Tokenizer

struct Talk: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "chat",
        abstract: "Talk with a model, with or without an adapter.",
        discussion: """
            Each line is a message, and what was said before is remembered. Only what is new is computed. From a file or a \
            pipe each line is a turn, and the standard output has the answers alone. Ctrl-C ends an answer, twice the program; \
            so does Ctrl-D. Where the system has libedit, lines have arrow keys and a history.

            \(TalkCommand.list)
            """)

    @OptionGroup var modelOptions: ModelOptions
    @OptionGroup(title: "Adapter") var adapterOptions: AdapterOptions
    @OptionGroup var chat: ChatOptions

    @Option(help: "A system message for the chat template.")
    var system: String?

    @Option(
        help: ArgumentHelp(
            "How many tokens the conversation may have; the oldest turns are left out behind that. Default: \(Defaults.sessionTokens), or as many as the model has positions.",
            valueName: "tokens"))
    var context: Int?

    @OptionGroup(title: "Answers") var settings: AnswerSettings

    func run() throws {
        let options = try settings.options()
        Interrupt.install()
        let opened = try modelOptions.open(template: chat.chatTemplate, adapter: adapterOptions.mix)
        for warning in opened.tokenizer.generationWarnings { Terminal.warn(warning) }
        let most = opened.model.mostCachedTokens
        if let context, !(2...most).contains(context) {
            throw ConfigError(
                "--context is \(context); it must be 2 to \(most), the positions that the model has on this device"
            )
        }
        let answerer = try Answerer(opened, options, capacity: context ?? opened.model.usualCapacity)
        guard answerer.renderer != nil else {
            throw ConfigError(
                "the model has no chat template; name the one that it was trained with by --chat-template")
        }
        try TalkLoop(answerer, Conversation(system: system), adapterOptions.mix).run()
        answerer.model.device.savePipelines()
    }
}
