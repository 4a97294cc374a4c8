// Keys of rank_pattern mean the modules that Python's re.match(r"(.*\.)?(KEY)$", name) means.

import Checkpoints
import Testing

@Suite struct NamePatternTests {
    private static let name = "model.layers.12.self_attn.q_proj"

    @Test(arguments: [
        ("q_proj", true), ("proj", false), ("attn.q_proj", false), ("self_attn.q_proj", true),
        (".*q_proj", true),
        ("^q_proj", false), ("^model.layers.12.self_attn.q_proj$", true),
        (#"layers\.1\d\.self_attn\.q_proj"#, true),
        (#"layers\.[0-1]\.self_attn\.q_proj"#, false), ("(k|q)_proj", true), ("(?:k|q|)_proj|o_proj", true),
        ("[kq]_proj", true), ("[^q]_proj", false), ("[^k]_proj", true), ("[]q]_proj", true),
        ("q?_proj", true),
        (".q_proj", false), ("..*q_proj", true), (#"\w+"#, true), (#"\w+\.q_proj"#, true), (#"\S{6}"#, true),
        ("q_pro{1}j", true), ("q_pro{2,}j", false), ("(q|_|p|r|o|j){6}", true), ("(q|_|p|r|o|j){7,9}", false),
        ("(q_proj)*", true), ("(q_proj){0,3}", true), ("q_proj.*?", true), ("(a*)*q_proj", true),
        ("(|q_proj)+", true),
        ("layers.1.*", true), (#"layers\.2.*"#, false), ("Q_proj", false), ("$q_proj", false),
        ("q_proj$$", true),
        ("q_proj|k_proj", true), ("k_proj|v_proj", false), ("", false),
    ])
    func patternsMeanWhatPythonMeans(_ key: String, _ isMeant: Bool) throws {
        #expect(try ModulePattern(key, path: "c.json").matches(Self.name) == isMeant)
    }

    @Test(arguments: [
        "(", "q)", "[a", "*q", "q**", "q++", "q{3", "q{3,1}", "q{2000}", "a{", #"\b"#, #"\1"#, #"q\"#,
        "(?i)q", "(?!q)",
        "[z-a]", "((a{1000}){1000}){1000}", String(repeating: "(", count: 100),
    ])
    func whatCannotBeReadIsRefused(_ key: String) {
        #expect(throws: FileError.self) { try ModulePattern(key, path: "c.json") }
    }

    /// Where a search with backtracking takes 2^n steps.
    @Test func noPatternTakesLong() throws {
        let name = String(repeating: "a", count: 4000)
        let clock = ContinuousClock()
        let time = try clock.measure {
            for key in ["(a*)*b", "(a|a|aa)*b", "(((){1000}){1000}){1000}b", ".*.*.*.*.*b"] {
                let isMeant = try ModulePattern(key, path: "c.json").matches(name)
                #expect(!isMeant)
            }
        }
        #expect(time < .seconds(5))
    }
}
