// A form of a row of training data, told by its keys. A new one is one file here and one line in
// `Formats.swift`.

import Checkpoints
import Tokenizer

package protocol ExampleFormat: Named {
    /// What its rows become.
    var examples: Example.Kind { get }
    /// Its keys, as errors name them: "'prompt' and 'completion'".
    var keys: String { get }
    /// Keys that it does not read are told, unless the row may have any.
    var readsAllKeys: Bool { get }
    /// Whether a row has this form.
    func recognises(_ row: JSONFields, _ format: TextFormat) -> Bool
    func example(_ row: JSONFields, _ reader: ExampleReader, _ notes: inout DataNotes) throws -> Example
}

extension ExampleFormat {
    package var examples: Example.Kind { .plain }
    package var readsAllKeys: Bool { true }
}

extension JSONFields {
    /// Looks for a key without reading it. null counts as absent.
    func has(_ key: String) -> Bool { object[key].map { $0 != .null } ?? false }

    func hasArray(_ key: String) -> Bool { if case .array? = object[key] { true } else { false } }
}
