// The seam between adapters and the rest. A method says what it trains (MethodParameters), how a layer runs (MethodLayer)
// and what PEFT's files hold of it (MethodStorage). Plain LoRA's answers are the defaults, so a method states only what it
// does differently. How a layer runs has no default: a LowRankMethod gives one term, any other method records it all.

package protocol AdapterMethod: Named, MethodParameters, MethodLayer, MethodStorage {
    /// The initialization if the user asks for none.
    var defaultInitialization: LoRAInitialization { get }
    /// Sets the settings that the method fixes.
    func normalize(_ config: inout LoRAConfig)
    /// Refuses settings that have no meaning for the method.
    func validate(_ config: LoRAConfig) throws(ConfigError)
}

extension AdapterMethod {
    package var defaultInitialization: LoRAInitialization { .kaiming }
    package func normalize(_ config: inout LoRAConfig) {}
    package func validate(_ config: LoRAConfig) throws(ConfigError) {}

    /// For methods that start in a way of their own.
    func refuseInitialization(_ config: LoRAConfig) throws(ConfigError) {
        guard let wanted = config.initialization else { return }
        throw ConfigError(
            "\(name) starts with an update of zero in its own way, and the initialization is \(wanted.name); "
                + "leave --init away")
    }
}
