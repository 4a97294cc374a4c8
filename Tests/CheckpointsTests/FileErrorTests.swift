// What an error shows of a file's own words: nothing that steers a terminal, and not much.

import Checkpoints
import Testing

@Suite struct FileErrorTests {
    @Test func nothingInAnErrorSteersATerminal() {
        let error = FileError("a\u{1B}]0;title\u{7}", "b\nforged\r\u{9B}2J \u{202E}c", remedy: "d\u{7F}é")
        #expect(
            error.description
                == #"a\u{1b}]0;title\u{7}: b\u{a}forged\u{d}\u{9b}2J \u{202e}c; d\u{7f}é"#)
        #expect("a\tb\nc\r".printable(keeping: "\n\t") == "a\tb\nc\\u{d}")
        #expect("日本語 é 🙂".printable() == "日本語 é 🙂")
    }

    @Test func aLongKeyIsShownInPart() throws {
        let key = String(repeating: "k", count: 1 << 20)
        for text in ["{\"\(key)\":1,\"\(key)\":2}", "{\"\(key)\" 1}", "{\"\(key)\u{1B}\":1}"] {
            let error = try #require(errorText { _ = try JSON.parse(Array(text.utf8), path: "x.json") })
            #expect(error.utf8.count < 300 && !error.contains("\u{1B}"))
        }
    }
}
