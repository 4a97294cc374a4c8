// A JSON value that keeps what a file says: the order of keys, integers exactly, 8.0 apart from 8.
// Strings compare by their bytes: Swift's == holds U+212B and U+00C5 for equal, a vocabulary may hold both.

package enum JSON: Sendable {
    case null
    case bool(Bool)
    case integer(Int)
    case double(Double)
    case string(String)
    case array([JSON])
    case object(Object)
}

extension JSON: Equatable {
    package static func == (a: JSON, b: JSON) -> Bool {
        switch (a, b) {
        case (.null, .null): true
        case (.bool(let a), .bool(let b)): a == b
        case (.integer(let a), .integer(let b)): a == b
        case (.double(let a), .double(let b)): a == b
        case (.string(let a), .string(let b)): ExactString(a) == ExactString(b)
        case (.array(let a), .array(let b)): a == b
        case (.object(let a), .object(let b)): a == b
        default: false
        }
    }
}

/// A string that is equal only to the same bytes, for use as a dictionary key.
package struct ExactString: Hashable, Sendable {
    package let text: String

    package init(_ text: String) { self.text = text }

    package static func == (a: ExactString, b: ExactString) -> Bool {
        a.text.utf8.count == b.text.utf8.count && a.text.utf8.elementsEqual(b.text.utf8)
    }

    package func hash(into hasher: inout Hasher) {
        var text = text
        text.withUTF8 { hasher.combine(bytes: UnsafeRawBufferPointer($0)) }
    }
}

extension JSON {
    /// Members in the order of the file, found by key in constant time.
    package struct Object: Sendable, Equatable, ExpressibleByDictionaryLiteral {
        package struct Member: Sendable, Equatable {
            package let key: String
            package var value: JSON

            package static func == (a: Member, b: Member) -> Bool {
                ExactString(a.key) == ExactString(b.key) && a.value == b.value
            }
        }

        package private(set) var members: [Member] = []
        private var positions: [ExactString: Int] = [:]
        private static let scanned = 8  // up to here a scan is faster than a table

        package init() {}

        /// Of keys that appear twice the last one counts.
        package init(dictionaryLiteral elements: (String, JSON)...) {
            for (key, value) in elements { self[key] = value }
        }

        package static func == (a: Object, b: Object) -> Bool { a.members == b.members }

        package var count: Int { members.count }
        package var keys: [String] { members.map(\.key) }

        package subscript(key: String) -> JSON? {
            get { position(of: key).map { members[$0].value } }
            set {
                switch (position(of: key), newValue) {
                case (let index?, let value?): members[index].value = value
                case (let index?, nil): remove(at: index)
                case (nil, let value?): add(key, value)
                case (nil, nil): break
                }
            }
        }

        /// Adds a member behind the others; false, and nothing is added, where the key is there already.
        package mutating func append(_ key: String, _ value: JSON) -> Bool {
            guard position(of: key) == nil else { return false }
            add(key, value)
            return true
        }

        private func position(of key: String) -> Int? {
            let exact = ExactString(key)
            if members.count > Object.scanned { return positions[exact] }
            return members.firstIndex { ExactString($0.key) == exact }
        }

        fileprivate mutating func add(_ key: String, _ value: JSON) {
            members.append(Member(key: key, value: value))
            if members.count > Object.scanned + 1 {
                positions[ExactString(key)] = members.count - 1
            } else if members.count == Object.scanned + 1 {
                rebuild()
            }
        }

        private mutating func remove(at index: Int) {
            members.remove(at: index)
            if members.count > Object.scanned { rebuild() }
        }

        private mutating func rebuild() {
            positions = [:]
            for (index, member) in members.enumerated() { positions[ExactString(member.key)] = index }
        }
    }
}

extension JSON {
    /// The same value with the members of every object ordered by the bytes of their keys, as Python's
    /// `sort_keys` does.
    package func sorted() -> JSON {
        switch self {
        case .array(let values): return .array(values.map { $0.sorted() })
        case .object(let object):
            var result = Object()
            for member in object.members.sorted(by: { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) }) {
                result.add(member.key, member.value.sorted())
            }
            return .object(result)
        default: return self
        }
    }

    /// The value as an error message shows it: kind and, where short, content.
    package var summary: String {
        switch self {
        case .null: "null"
        case .bool(let value): "\(value)"
        case .integer(let value): "the number \(value)"
        case .double(let value): "the number \(value)"
        case .string(let value): "the string \"\(value.prefix(40))\(value.count > 40 ? "…" : "")\""
        case .array(let values): "an array of \(values.count)"
        case .object(let object): "an object of \(object.count) keys"
        }
    }
}
