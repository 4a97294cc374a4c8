// All that a text can name of one kind. A new one is one file and one line in the list, or one call of `register`.

import Synchronization

/// The lists of the library, one a kind.
package enum Registries {}

/// `Item` is a type that is `Named`, or `any P` of a protocol P that is.
package final class Registry<Item: Sendable>: Sendable {
    /// What an item is called in errors: "adapter method".
    package let noun: String
    private let builtIn: [Item]
    private let registered = Mutex<[Item]>([])

    package init(_ noun: String, _ builtIn: [Item]) {
        self.noun = noun
        self.builtIn = builtIn
    }

    package var all: [Item] { builtIn + registered.withLock { $0 } }
    package var names: [String] { all.map { Self.named($0).name } }
    /// With their options, as `named` reads them.
    package var descriptions: [String] { all.map { Self.named($0).description } }

    /// Adds one of a program that uses this library.
    package func register(_ item: Item) { registered.withLock { $0.append(item) } }

    /// The item that `name[:option=value,…]` means.
    package func named(_ text: String) throws(ConfigError) -> Item {
        let wanted = try NamedOptions(text)
        guard var found = all.lazy.map(Self.named).first(where: { $0.name == wanted.name }) else {
            throw ConfigError(
                "there is no \(noun) '\(wanted.name)'; there are \(names.joined(separator: ", "))")
        }
        try found.options.set(wanted.values, of: "the \(noun) \(found.name)")
        guard let item = found as? Item else { preconditionFailure("a \(noun) changed its type") }
        return item
    }

    private static func named(_ item: Item) -> any Named {
        guard let named = item as? any Named else { preconditionFailure("\(Item.self) is not Named") }
        return named
    }
}
