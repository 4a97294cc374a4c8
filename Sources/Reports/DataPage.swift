// What a model will see of its data, as a page: numbers, lengths, warnings, and examples whose learned text is marked.

package struct DataPage {
    package struct Part: Sendable {
        package var name: String
        package var facts: [(key: String, value: String)]
        package var histogram: [(range: ClosedRange<Int>, count: Int)]
        package var warnings: [String]

        package init(
            name: String, facts: [(key: String, value: String)],
            histogram: [(range: ClosedRange<Int>, count: Int)], warnings: [String]
        ) {
            (self.name, self.facts, self.histogram, self.warnings) = (name, facts, histogram, warnings)
        }
    }

    package struct Shown: Sendable {
        package var title: String
        package var pieces: [(text: String, isLearned: Bool)]

        package init(title: String, pieces: [(text: String, isLearned: Bool)]) {
            (self.title, self.pieces) = (title, pieces)
        }
    }

    let parts: [Part]
    let examples: [Shown]

    package init(_ parts: [Part], examples: [Shown]) { (self.parts, self.examples) = (parts, examples) }

    package var html: String {
        var body: [String] = []
        for part in parts {
            body.append(HTMLPage.heading(part.name))
            body.append(
                "<ul>\(part.facts.map { "<li>\($0.key.escaped): \($0.value.escaped)</li>" }.joined())</ul>")
            body += part.warnings.map { "<p><strong>Warning:</strong> \($0.escaped).</p>" }
            body.append("<div class=\"wide\">\(Self.bars(part.histogram))</div>")
        }
        if !examples.isEmpty {
            body.append(HTMLPage.heading("Examples"))
            body.append("<p><mark>Marked</mark> text is learned; the rest is only read.</p>")
        }
        for example in examples {
            body.append(HTMLPage.paragraph(example.title))
            let text = example.pieces.map { piece in
                piece.isLearned ? "<mark>\(piece.text.escaped)</mark>" : piece.text.escaped
            }
            body.append("<pre>\(text.joined())</pre>")
        }
        return HTMLPage(title: "Data", body: body).text
    }

    private static func bars(_ histogram: [(range: ClosedRange<Int>, count: Int)]) -> String {
        let most = max(1, histogram.map(\.count).max() ?? 1)
        let (row, left, width) = (20, 110, 760)
        let height = histogram.count * row + 24
        var parts = [
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 \(width) \(height)\" font-family=\"sans-serif\" font-size=\"12\" "
                + "fill=\"currentColor\" role=\"img\"><title>Examples by length</title>",
            "<text x=\"0\" y=\"14\">tokens</text><text x=\"\(left)\" y=\"14\">examples</text>",
        ]
        for (index, bar) in histogram.enumerated() {
            let top = 24 + index * row
            let length = (width - left - 80) * bar.count / most
            parts.append(
                "<text x=\"\(left - 10)\" y=\"\(top + 13)\" text-anchor=\"end\">\(bar.range.lowerBound)–\(bar.range.upperBound)</text>"
                    + "<rect x=\"\(left)\" y=\"\(top + 2)\" width=\"\(length)\" height=\"\(row - 5)\" fill=\"#0072b2\"/>"
                    + "<text x=\"\(left + length + 6)\" y=\"\(top + 13)\">\(bar.count)</text>")
        }
        return (parts + ["</svg>"]).joined(separator: "\n")
    }
}
