// The seam between adapters and the rest. A method says what it trains (MethodParameters), how a layer runs (MethodLayer)
// and what PEFT's files hold of it (MethodStorage). Plain LoRA's answers are the defaults, so a method states only what it
// does differently. How a layer runs has no default: a LowRankMethod gives one term, any other method records it all.

package protocol AdapterMethod: MethodParameters, MethodLayer, MethodStorage {
    /// The name in the registry, on the command line and in saved adapters: `lora+`.
    var name: String { get }
    /// One line: the formula, and its authors.
    var summary: String { get }
    /// The method's own numbers, with their present values.
    var options: [MethodOption] { get set }

    /// The initialization if the user asks for none.
    var defaultInitialization: LoRAInitialization { get }
    /// Sets the settings that the method fixes.
    func normalize(_ config: inout LoRAConfig)
    /// Refuses settings that have no meaning for the method.
    func validate(_ config: LoRAConfig) throws(ConfigError)
}

extension AdapterMethod {
    package var options: [MethodOption] {
        get { [] }
        set {}
    }

    package var defaultInitialization: LoRAInitialization { .kaiming }
    package func normalize(_ config: inout LoRAConfig) {}
    package func validate(_ config: LoRAConfig) throws(ConfigError) {}

    /// The name with the options. `AdapterMethods.named` reads it.
    package var description: String { name + options.text }

    func option(_ name: String) -> Double {
        guard let option = options.first(where: { $0.name == name }) else {
            preconditionFailure("\(self.name) has no option '\(name)'")
        }
        return option.value
    }

    /// For methods that start in a way of their own.
    func refuseInitialization(_ config: LoRAConfig) throws(ConfigError) {
        guard let wanted = config.initialization else { return }
        throw ConfigError(
            "\(name) starts with an update of zero in its own way, and the initialization is \(wanted.name); "
                + "leave --init away")
    }
}
