// A page that needs nothing beside it: well-formed XML, light or dark as the reader's screen, readable on a phone.

package struct HTMLPage {
    package var title: String
    /// Seconds after which a browser loads it again.
    package var refresh: Int?
    package var body: [String]

    package init(title: String, refresh: Int? = nil, body: [String]) {
        (self.title, self.refresh, self.body) = (title, refresh, body)
    }

    package var text: String {
        """
        <!DOCTYPE html>
        <html xmlns="http://www.w3.org/1999/xhtml" lang="en">
        <head><meta charset="utf-8"/><meta name="viewport" content="width=device-width, initial-scale=1"/>\(reload)
        <title>\(title.escaped)</title><style>
        :root { color-scheme: light dark; --text: #222; --back: #fff; --line: #ddd; --learned: #c8e6c9 }
        @media (prefers-color-scheme: dark) { :root { --text: #ddd; --back: #181818; --line: #444; --learned: #1b5e20 } }
        body { font-family: sans-serif; max-width: 60em; margin: 2em auto; padding: 0 1em; color: var(--text); background: var(--back) }
        div.wide { overflow-x: auto } table { border-collapse: collapse; margin: 1em 0 }
        td, th { padding: 0.2em 0.7em; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap }
        th { white-space: normal; vertical-align: bottom } td:first-child, th:first-child { text-align: left }
        svg { width: 100%; min-width: 36em; height: auto; display: block; margin: 1em 0 }
        pre { white-space: pre-wrap; overflow-wrap: anywhere; border: 1px solid var(--line); padding: 0.6em } mark { background: var(--learned); color: inherit }
        </style></head>
        <body>
        <h1>\(title.escaped)</h1>
        \(body.joined(separator: "\n"))
        </body>
        </html>

        """
    }

    private var reload: String { refresh.map { "<meta http-equiv=\"refresh\" content=\"\($0)\"/>" } ?? "" }

    package static func heading(_ text: String) -> String { "<h2>\(text.escaped)</h2>" }

    package static func paragraph(_ text: String) -> String { "<p>\(text.escaped)</p>" }

    package static func table(_ head: [String], _ rows: [[String]]) -> String {
        func row(_ cells: [String], _ kind: String) -> String {
            "<tr>" + cells.map { "<\(kind)>\($0.escaped)</\(kind)>" }.joined() + "</tr>"
        }
        let lines = [row(head, "th")] + rows.map { row($0, "td") }
        return "<div class=\"wide\"><table>\n\(lines.joined(separator: "\n"))\n</table></div>"
    }
}

extension String {
    /// As XML and HTML have it, in text and in attributes.
    package var escaped: String {
        var result = ""
        for scalar in unicodeScalars {
            switch scalar {
            case "&": result += "&amp;"
            case "<": result += "&lt;"
            case ">": result += "&gt;"
            case "\"": result += "&quot;"
            case "\t", "\n": result.unicodeScalars.append(scalar)
            case "\u{0}"..."\u{1F}", "\u{FFFE}", "\u{FFFF}": result += "\u{FFFD}"
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result
    }
}
