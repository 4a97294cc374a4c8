// The registry of adapter methods. A new method is one file and one line here, or one call of `register`.

import Synchronization

package enum AdapterMethods {
    private static let builtIn: [any AdapterMethod] = [
        LoRA(), RsLoRA(), LoRAPlus(), LoRAFA(), DoRA(), DeLoRA(), ALLoRA(), NoRAPlus(), RoCoFT(.rows),
        RoCoFT(.columns), VeRA(),
    ]
    private static let registered = Mutex<[any AdapterMethod]>([])

    package static var all: [any AdapterMethod] { builtIn + registered.withLock { $0 } }

    /// Adds a method of a program that uses this library.
    package static func register(_ method: any AdapterMethod) { registered.withLock { $0.append(method) } }

    /// The method that `name[:option=value,…]` means.
    package static func named(_ text: String) throws(ConfigError) -> any AdapterMethod {
        let wanted = try NamedOptions(text)
        guard var method = all.first(where: { $0.name == wanted.name }) else {
            throw ConfigError(
                "there is no adapter method '\(wanted.name)'; there are \(all.map(\.name).joined(separator: ", "))"
            )
        }
        var options = method.options
        try options.set(wanted.values, of: "the method \(method.name)")
        method.options = options
        return method
    }
}
