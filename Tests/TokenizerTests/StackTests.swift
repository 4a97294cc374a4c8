// What the deepest files that are read need of a thread's stack: include/loravk.h says 512 KiB.

import Checkpoints
import Glibc
import Testing
import Tokenizer

struct StackTests {
    private final class Job {
        let body: () -> Void
        init(_ body: @escaping () -> Void) { self.body = body }
    }

    /// Runs on a thread with a stack of so many bytes; what is too deep for it ends the process.
    private func run(stack: Int, _ body: @escaping () -> Void) {
        var attributes = pthread_attr_t()
        pthread_attr_init(&attributes)
        #expect(pthread_attr_setstacksize(&attributes, stack) == 0)
        var thread = pthread_t()
        let job = Unmanaged.passRetained(Job(body)).toOpaque()
        let status = pthread_create(
            &thread, &attributes,
            { job in
                if let job { Unmanaged<Job>.fromOpaque(job).takeRetainedValue().body() }
                return nil
            }, job)
        #expect(status == 0)
        pthread_join(thread, nil)
    }

    @Test func theDeepestFilesFitIntoHalfAMebibyte() throws {
        let digits = Array(repeating: #"{"type":"Digits","individual_digits":true}"#, count: 32).joined(
            separator: ",")
        var pre = #"{"type":"Sequence","pretokenizers":[\#(digits)]}"#
        for _ in 0..<25 { pre = #"{"type":"Sequence","pretokenizers":[\#(pre)]}"# }
        let file = SmallTokenizer.json.replacing(
            #"{"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":true}"#, with: pre)
        #expect(file != SmallTokenizer.json)
        let brackets = String(repeating: "(", count: 40) + "1" + String(repeating: ")", count: 40)
        let macro =
            "{% macro f(n) %}{{ n }}{% if n > 0 %}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}{{ \(brackets) }}"
        nonisolated(unsafe) var (tokens, text, depth) = (0, "", "")
        run(stack: 512 << 10) {
            do {
                let tokenizer = try SmallTokenizer.load(file, template: macro)
                tokens = tokenizer.encode("ab 12 ab").count
                let renderer = try ChatRenderer(tokenizer)
                text = try renderer?.render(Chat([("user", "a")]), addGenerationPrompt: false) ?? ""
                let nested = String(repeating: "[", count: 64) + String(repeating: "]", count: 64)
                depth = try JSON.parse(Array(nested.utf8), path: "x").summary
            } catch {
                text = "\(error)"
            }
        }
        #expect(tokens > 0 && text.hasPrefix("6059") && depth == "an array of 1", "\(text)")
    }
}
