// A rendering and where its parts lie in the text: what the loop over `messages` wrote for each message, and
// what stands in `{% generation %}` marks.

/// Offsets are in bytes of UTF-8.
package struct TemplateTrace: Sendable {
    package var text: String
    /// The text of each message; nil where the template wrote none, or not in one piece, or not by a loop
    /// over `messages`.
    package var messages: [Range<Int>?]
    /// Where the last message that was looped over ends.
    package var end: Int?
    package var generated: [Range<Int>]
    /// The template asked for the date.
    package var readsDate: Bool
}

/// Collects a trace while a template runs.
struct TemplateRecorder {
    private var indices: [ObjectIdentifier: Int] = [:]
    private var messages: [[Range<Int>]]
    /// The iteration that writes a message, or one of a loop over numbers that may come to one.
    private var iteration: (start: Int, message: Int?, number: Int?)?
    private var end: Int?
    private var generated: [(range: Range<Int>, captured: [UInt8]?)] = []

    init(messages value: TemplateValue?) {
        guard case .list(let list)? = value else {
            messages = []
            return
        }
        messages = Array(repeating: [], count: list.elements.count)
        for (index, element) in list.elements.enumerated() {
            if case .dictionary(let message) = element { indices[ObjectIdentifier(message)] = index }
        }
    }

    /// A loop comes to an element; whether it may be a message, inside of no other.
    mutating func begin(_ element: TemplateValue, at offset: Int) -> Bool {
        guard iteration?.message == nil else { return false }
        if let message = message(element) {
            iteration = (offset, message, nil)
            return true
        }
        guard iteration == nil, case .integer(let number) = element else { return false }
        iteration = (offset, nil, number)
        return true
    }

    /// `messages[i]` in a loop over i.
    mutating func visit(_ element: TemplateValue, at position: Int) {
        guard let current = iteration, current.message == nil, current.number == position else { return }
        iteration = (current.start, message(element), current.number)
    }

    mutating func end(at offset: Int) {
        if let iteration, let message = iteration.message, iteration.start < offset {
            messages[message].append(iteration.start..<offset)
            end = offset
        }
        iteration = nil
    }

    private func message(_ element: TemplateValue) -> Int? {
        guard case .dictionary(let message) = element else { return nil }
        return indices[ObjectIdentifier(message)]
    }

    /// Where text is captured, whether and where it comes out is seen at the end.
    mutating func addGenerated(_ text: ArraySlice<UInt8>, at offset: Int, isCaptured: Bool) {
        generated.append((offset..<offset + text.count, isCaptured ? Array(text) : nil))
    }

    func trace(of output: [UInt8], readsDate: Bool) -> TemplateTrace {
        let marked = generated.filter { range, captured in
            guard let captured else { return true }
            return range.upperBound <= output.count && output[range].elementsEqual(captured)
        }
        return TemplateTrace(
            text: String(decoding: output, as: UTF8.self),
            messages: messages.map { $0.count == 1 ? $0[0] : nil }, end: end,
            generated: marked.map(\.range), readsDate: readsDate)
    }
}
