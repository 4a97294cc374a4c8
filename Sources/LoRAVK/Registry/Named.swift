// What a text can name: an adapter method, an initialization, an optimizer … Its text is `name:option=number,option=number`.

package protocol Named: Sendable {
    /// In the registry, on the command line and in saved files.
    var name: String { get }
    /// One line: the formula, and its authors.
    var summary: String { get }
    /// Its own numbers, with their present values.
    var options: [NumberOption] { get set }
}

extension Named {
    package var options: [NumberOption] {
        get { [] }
        set {}
    }

    /// The name with the options. `Registry.named` reads it.
    package var description: String { name + options.text }

    func option(_ name: String) -> Double { options[name] }
}
