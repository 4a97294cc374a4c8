// Regular expressions of tokenizer.json files, through a tokenizer that cuts by them: what is read, what is refused, and
// how long the worst may take.

import Checkpoints
import Testing
import Tokenizer

struct ExpressionTests {
    /// Bytes as tokens, cut by an expression.
    private func tokenizer(_ pattern: String, behavior: String = "Isolated") throws -> Tokenizer {
        var split: JSON.Object = [
            "type": .string("Split"), "behavior": .string(behavior), "invert": .bool(false),
        ]
        split["pattern"] = .object(["Regex": .string(pattern)])
        let bytes: JSON.Object = [
            "type": .string("ByteLevel"), "add_prefix_space": .bool(false), "use_regex": .bool(false),
        ]
        let file: JSON.Object = [
            "pre_tokenizer": .object([
                "type": .string("Sequence"), "pretokenizers": .array([.object(split), .object(bytes)]),
            ]),
            "decoder": .object(["type": .string("ByteLevel")]),
            "model": .object([
                "type": .string("BPE"), "vocab": .object(["a": .integer(0)]), "merges": .array([]),
            ]),
        ]
        return try Tokenizer(json: .object(file), path: "t.json")
    }

    /// An expression, a text, and the pieces that Oniguruma finds in it.
    @Test(arguments: [
        ("a|ab", "ab", ["a", "b"]), ("ab|a", "aab", ["a", "ab"]), ("a{2}", "aaaaa", ["aa", "aa", "a"]),
        ("a{,2}b", "aaab", ["a", "aab"]), ("a{2,}", "abaaaa", ["ab", "aaaa"]),
        ("a+?", "aaa", ["a", "a", "a"]),
        ("a??b", "ab", ["ab"]), ("[a-c&&[^b]]+", "abcca", ["a", "b", "cca"]),
        (#"\p{N}{1,3}+"#, "1234567", ["1234567"]), (#"\s++$|x"#, "a \nxb  ", ["a \n", "x", "b", "  "]),
        (#"\p{^L}+"#, "ab12", ["ab", "12"]), (#"\P{L}+"#, "ab12", ["ab", "12"]),
        (#"[^\S\n]+"#, "a \t\nb", ["a", " \t", "\nb"]),
        (#"\x{1F600}|\u0061|\x62"#, "b😀a", ["b", "😀", "a"]), ("[a\\-z]+", "a-zb", ["a-z", "b"]),
        ("(?i:k's)", "K'ſx", ["K'ſ", "x"]), ("(a|b)*c", "abacab", ["abac", "ab"]),
        (".", "a\nb", ["a", "\n", "b"]),
        (#"a(?=[bc])|b"#, "abaa", ["a", "b", "aa"]), (#"\s+\z"#, "  a  ", ["  a", "  "]),
    ])
    func cutsAsOnigurumaDoes(pattern: String, text: String, pieces: [String]) throws {
        #expect(try tokenizer(pattern).words(text) == pieces)
    }

    @Test(arguments: [
        ("", "it matches without a character"), (#"\s*"#, "it matches without a character"),
        ("(a", "it ends too early"), ("a)", "')' at character 1 is out of place"),
        ("[a", "a '[' without its ']'"),
        ("*a", "'*' at character 0 is out of place"), ("^a", "'^' at character 0"),
        (#"\w+"#, #"the escape '\w'"#),
        (#"\bа"#, #"the escape '\b'"#), (#"(a)\1"#, #"the escape '\1'"#), (#"\p{Han}"#, "the property 'Han'"),
        ("(?<=a)b", "a group of this kind"), ("(?>a)", "a group of this kind"),
        ("(?=ab)a", "a look ahead over more than"),
        ("(ab)++", "a possessive quantifier of a group"), ("a***", "a third quantifier"),
        ("a{1,3}?", "a '?' behind a '}'"),
        ("a{3,1}", "ends before it begins"), ("a{1001}", "a count beyond 1000"),
        ("[b-a]", "a range that is none"),
        ("[[:alpha:]]", "a named class"), ("(?i:é)", "beyond ASCII"),
        ("(?i:sT)", "'st', which is one character"),
        ("(?i:[a-z])", "a range that ignores case"), (#"(?i:\p{Lu})"#, "a property that ignores case"),
        (#"\xff"#, "a byte that is no character"), (#"\x{110000}"#, "a character by its number"),
        ("a\\", "a '\\' at its end"),
        ("((((a{1000}){1000}){1000}){1000})", "it needs more than 1024 steps"),
        ("((((){1000}){1000}){1000})a", "it needs more than"),
        (
            String(repeating: "(", count: 40) + "a" + String(repeating: ")", count: 40),
            "nested deeper than 32"
        ),
        (String(repeating: "[", count: 40), "nested deeper than 32"),
        (String(repeating: "a", count: 5000), "longer than 4096"),
        ("(a|b)*a(a|b){20}", "its automaton needs more than"),
        (
            (0..<300).map { "[\\x{\(String(0x3000 + $0, radix: 16))}]" }.joined(separator: "|"),
            "more than 254 kinds"
        ),
    ])
    func isRefused(pattern: String, reason: String) {
        let error = #expect(throws: FileError.self) { try tokenizer(pattern) }
        #expect(error?.description.contains(reason) == true, "\(String(describing: error))")
    }

    /// Searches that read to the end of the text for a match that is not there, from each of its places.
    @Test(arguments: [#"\s+x"#, #" *x| *y|[ a]"#, #"(a|  )*b|\n *\n| "#, #"\s+$|\S"#, #"( {1,40})+x"#])
    func noTextIsReadOverAndOver(pattern: String) throws {
        let text =
            String(repeating: " ", count: 200_000) + "\na" + String(repeating: " \n", count: 50_000) + "z"
        let tokenizer = try tokenizer(pattern)
        let elapsed = ContinuousClock().measure { #expect(tokenizer.words(text).joined() == text) }
        #expect(elapsed < .seconds(20))
    }

    @Test func behaviorsSayWhatBecomesOfMatches() throws {
        let expected = [
            "Removed": ["a", "b", "c"], "Isolated": ["a", "-", "-", "b", "-", "c"],
            "MergedWithPrevious": ["a-", "-", "b-", "c"], "MergedWithNext": ["a", "-", "-b", "-c"],
            "Contiguous": ["a", "--", "b", "-", "c"],
        ]
        for (behavior, pieces) in expected {
            #expect(try tokenizer("-", behavior: behavior).words("a--b-c") == pieces, "\(behavior)")
        }
    }
}
