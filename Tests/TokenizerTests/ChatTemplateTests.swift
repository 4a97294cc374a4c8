// What Jinja makes of templates (Data/chat_templates.json, written by
// Tests/Oracles/chat_template_fixtures.py), and what must happen with templates that are broken or hostile.

import Checkpoints
import Testing
import Tokenizer

struct ChatTemplateTests {
    private let date = TemplateDate(
        year: 2026, month: 3, day: 5, hour: 14, minute: 7, second: 9, weekday: 4, yearDay: 63)

    @Test func rendersAsJinjaDoes() throws {
        let file = try JSONFields(
            JSON.read(Fixtures.folder + "chat_templates.json"), path: "chat_templates.json")
        let variables = try file.fields("variables")
        let cases = try file.array("cases")
        #expect(cases.count > 100)
        for json in cases {
            let item = try JSONFields(json, path: "chat_templates.json")
            let name = try item.string("name")
            let given = try variables.fields(item.string("variables")).object
            let source = try item.string("template")
            guard let expected = try item.optionalString("expected") else {
                #expect(throws: FileError.self, "\(name)") {
                    try ChatTemplate(source).render(given, now: date)
                }
                continue
            }
            do {
                let result = try ChatTemplate(source).render(given, now: date)
                #expect(ExactString(result) == ExactString(expected), "\(name): \(source)")
            } catch {
                Issue.record("\(name): \(error): \(source)")
            }
        }
    }
}

struct HostileTemplateTests {
    private func render(_ source: String) throws -> String {
        let renderer = ChatRenderer(
            template: try ChatTemplate(source),
            specialTokens: ["bos_token": .string("<s>"), "eos_token": .string("</s>")], date: .now())
        return try renderer.render(Chat([(role: "user", content: "x")]), addGenerationPrompt: true)
    }

    private static func nested(_ open: String, _ middle: String, _ close: String, _ count: Int) -> String {
        String(repeating: open, count: count) + middle + String(repeating: close, count: count)
    }

    /// Each template with a part of what the error says.
    private static let refused: [(String, String)] = [
        (
            "{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}",
            "too many steps"
        ),
        (
            "{% set s = 'xxxxxxxxxxxxxxxx' %}{% set n = namespace(s=s) %}{% for i in range(99) %}{% set n.s = n.s + n.s %}{% endfor %}",
            "too many steps"
        ),
        (
            "{% set n = namespace(l=['x']) %}{% for i in range(99) %}{% set n.l = n.l + n.l %}{% endfor %}",
            "too many steps"
        ),
        (
            "{% set n = namespace(l=['x']) %}{% for i in range(30) %}{% set n.l = [n.l, n.l] %}{% endfor %}{{ n.l | tojson }}",
            "too many steps"
        ),
        (
            "{% set n = namespace(l=['x']) %}{% for i in range(30) %}{% set n.l = [n.l, n.l] %}{% endfor %}{{ n.l == [n.l] }}{{ n.l }}",
            "too many steps"
        ),
        ("{{ 'x' * 1000000000000 }}", "too many steps"),
        // Operations whose cost is in what they compare, hash or sort.
        (
            "{% set l = ('a' * 90000) | list %}{% for i in range(99999) %}{{ 'b'.startswith(l) }}{% endfor %}",
            "too many steps"
        ),
        (
            "{% set n = namespace(d={}) %}{% set d = dict(a=1, b=2, c=3) %}"
                + "{% for i in range(100000) %}{% set x = d | dictsort %}{% endfor %}",
            "too many steps"
        ),
        (
            "{% set k = 'k' * 4000000 %}{% set d = {k: 1} %}{% for i in range(99) %}{% set x = d[k] %}{% endfor %}",
            "too many steps"
        ),
        (
            "{% set k = 'k' * 2000000 %}{% for i in range(99) %}{% set x = k < k + 'a' %}{% endfor %}",
            "too many steps"
        ),
        (
            "{% macro m(" + (0..<40_000).map { "a\($0)" }.joined(separator: ", ") + ") %}{% endmacro %}",
            "a macro has at most 255 parameters"
        ),
        ("{{ ('a' * 1000000) | replace('a', 'b' * 1000) }}", "too many steps"),
        ("{{ ('a' * 100000) | list | join('b' * 100000) }}", "too many steps"),
        ("{{ ('\\n' * 100000) | indent('b' * 100000, true, true) }}", "too many steps"),
        ("{% set x = 'a' * 9000000 %}{{ x ~ x ~ x ~ x ~ x ~ x ~ x ~ x ~ x }}", "too many steps"),
        ("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "nested deeper"),
        (
            "{% set n = namespace(l=[]) %}{% for i in range(100) %}{% set n.l = [n.l] %}{% endfor %}",
            "nested deeper"
        ),
        ("{% set n = namespace() %}{% set n.n = n %}", "cannot be stored"),
        ("{% set n = namespace() %}{% set l = [n] %}", "cannot be stored"),
        ("{{ range(100001) }}", "more than 100000"),
        ("{{ range(0, 9223372036854775807, 9223372036854775807) }}", "up to 2^60"),
        ("{{ 9223372036854775807 + 1 }}", "too large"),
        ("{{ 9223372036854775808 }}", "too large"),
        ("{{ 3 ** 100 }}", "too large"),
        ("{{ -(-9223372036854775807 - 1) }}", "no negative"),
        ("{{ (-9223372036854775807 - 1) // -1 }}", "too large"),
        ("{{ 1 // 0 }}", "division by zero"),
        ("{{ 1 % 0 }}", "division by zero"),
        ("{{ 'a'.split('') }}", "is empty"),
        ("{{ 'abc'[::0] }}", "step of a slice"),
        (nested("(", "1", ")", 100_000).tag, "nested deeper"),
        (nested("[", "", "]", 100_000).tag, "nested deeper"),
        (nested("-", "1", "", 100_000).tag, "nested deeper"),
        (nested("not ", "1", "", 100_000).tag, "nested deeper"),
        (nested("", "x", ".x", 100_000).tag, "nested deeper"),
        (nested("1 + ", "1", "", 100_000).tag, "nested deeper"),
        ("{{ ('a' * 1000000) | replace('', 'bbbbbbbbbbbbbbbbbbbbbbbb') }}", "too many steps"),
        (nested("1 if 1 else ", "1", "", 10_000).tag, "nested deeper"),
        (nested("{% if 1 %}", "", "{% endif %}", 10_000), "nested deeper"),
        ("line\n{{ 'open", "line 2: a string is not closed"),
        ("{{ 1", "a tag is not closed"),
        ("{# never", "a comment is not closed"),
        ("{% if x %}", "the template ends where 'elif' belongs"),
        (String(repeating: "{% raw %}", count: 100_000), "'raw' is not closed"),
        (
            "{% for i in range(99999) %}{% set x = [] | slice(99999) %}{% endfor %}", "too many steps"
        ),
        (
            "{% set l = ['A' * 9000000] + range(99999) | list %}{{ l | unique | list | length }}",
            "too many steps"
        ),
        (
            "{% set f = 'x' * 4000000 %}{% for i in range(999) %}{% set x = f % () %}{% endfor %}",
            "too many steps"
        ),
        ("{{ 'a'.ljust(1000000000000) }}", "too many steps"),
        ("{{ 'a'.ljust(4, 'bb') }}", "fills with a character"),
        ("{{ 'a' | center(1000000000000) }}", "too many steps"),
        ("{{ '%s %s' % ('a',) }}", "too few values"),
        ("{{ '{} {}'.format('a') }}", "has no value for '{}'"),
        (
            "{% macro m() %}{{ caller() }}{% endmacro %}{{ m() }}",
            "'caller', which is not defined cannot be called"
        ),
        (
            "{% macro m() %}{% call m() %}x{% endcall %}{% endmacro %}{{ m() }}", "nested deeper"
        ),
        (
            "{% macro m() %}{% set n = namespace(c=caller) %}{% endmacro %}{% call m() %}x{% endcall %}",
            "cannot be stored"
        ),
        ("{% call x %}{% endcall %}", "'call' calls no macro"),
        (
            nested("{% generation %}", "{{ 'x' * 9000000 }}", "{% endgeneration %}", 90).captured,
            "too many steps"
        ),
        ("{% for x in [1] %}{% endif %}", "'endif' is not supported"),
        ("{% endfor %}", "'endfor' is not supported"),
        ("{% break %}", "outside of a loop"),
        ("{% include 'x' %}", "'include' is not supported"),
        ("{{ 1 1 }}", "expected '}}', found 1"),
        ("{{ ] }}", "']' closes nothing"),
        ("{{ a b }}", "expected '}}', found 'b'"),
        ("{{ $ }}", "'$' does not belong"),
        ("{{ '\\ud800' }}", "hexadecimal digits of a character"),
        ("{{ ''.__class__.__mro__ }}", "'__class__' is not defined"),
        ("{{ messages.append(1) }}", "no method 'append'"),
        ("{{ x.y.z }}", "'x' is not defined"),
        ("{% for a, b in [1] %}{% endfor %}", "is not a list"),
        ("{% for a, b in [[1]] %}{% endfor %}", "1 values cannot be given to 2 names"),
        ("{% for a in 5 %}{% endfor %}", "is not a list"),
        ("{{ raise_exception('stop here') }}", "the template refuses this chat: stop here"),
        ("{{ strftime_now('%Q') }}", "does not know the format"),
    ]

    @Test(arguments: refused.indices)
    func isRefused(index: Int) throws {
        let (source, reason) = HostileTemplateTests.refused[index]
        do {
            let text = try render(source)
            Issue.record("rendered \(text.utf8.count) bytes: \(source.prefix(200))")
        } catch let error as FileError {
            #expect(error.description.contains(reason), "\(error): \(source.prefix(200))")
            #expect(error.description.hasPrefix("chat template, line"))
        }
    }

    /// As long as the limits allow, and over in a moment: looking for a text takes time by the sum of the
    /// lengths.
    @Test(arguments: [
        "t.find(p)", "p in t", "t.split(p) | length", "t.replace(p, 'x') | length", "t.count(p)",
    ])
    func searchingIsLinear(expression: String) throws {
        let source = "{% set t = 'a' * 800000 %}{% set p = 'a' * 400000 + 'b' %}{{ \(expression) }}"
        let began = ContinuousClock.now
        _ = try render(source)
        #expect(ContinuousClock.now - began < .seconds(5))
    }

    @Test func longTemplatesAreRefused() {
        #expect(throws: FileError.self) { try ChatTemplate(String(repeating: "x", count: (1 << 20) + 1)) }
    }

    @Test func longChatsAreRendered() throws {
        let template = try ChatTemplate(
            "{% for m in messages %}{{ '<' + m.role + '>' + m.content | trim + eos_token }}{% endfor %}")
        let content = String(repeating: "word ", count: 200_000)
        let renderer = ChatRenderer(
            template: template, specialTokens: ["eos_token": .string("</s>")], date: .now())
        let messages = Array(repeating: (role: "user", content: content), count: 8)
        let text = try renderer.render(Chat(messages), addGenerationPrompt: false)
        #expect(text.utf8.count == 8 * (content.utf8.count - 1 + 10))
    }
}

extension String {
    fileprivate var tag: String { "{{ \(self) }}" }
    fileprivate var captured: String { "{% set x %}\(self){% endset %}" }
}
