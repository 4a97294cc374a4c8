// JSON: what is kept (order, integers, bytes of strings), what is refused, and that big files are quick.

import Checkpoints
import Testing

@Suite struct JSONTests {
    func parse(_ text: String) throws -> JSON { try JSON.parse(Array(text.utf8), path: "x.json") }

    @Test func valuesAndOrder() throws {
        let json = try parse(
            #" {"b": [1, -2.5, 1e3, -0, true, false, null], "a": "\u00e9\n\ud83d\ude00/\/", "": {}} "#)
        guard case .object(let object) = json else { throw FileError("x.json", "not an object") }
        #expect(object.keys == ["b", "a", ""])
        #expect(
            object["b"]
                == .array([
                    .integer(1), .double(-2.5), .double(1000), .double(-0.0), .bool(true), .bool(false),
                    .null,
                ]))
        #expect(object["a"] == .string("é\n😀//"))
        #expect(object[""] == .object([:]))
        #expect(object["c"] == nil)
    }

    @Test func numbersStayWhatTheyWere() throws {
        #expect(try parse("9223372036854775807") == .integer(.max))
        #expect(try parse("9223372036854775808") == .double(9_223_372_036_854_775_808))
        #expect(try parse("8.0").text(.python) == "8.0")
        #expect(try parse("[1e-05,1e+16,0.0001]").text(.compact) == "[1e-05,1e+16,0.0001]")
    }

    @Test func stringsCompareByBytes() throws {
        let json = try parse("{\"\u{212B}\": 1, \"\u{C5}\": 2, \"A\u{30A}\": 3}")
        guard case .object(let object) = json else { throw FileError("x.json", "not an object") }
        #expect(object.count == 3)
        #expect(object["\u{212B}"] == .integer(1))
        #expect(object["A\u{30A}"] == .integer(3))
    }

    @Test func objectsGrowAndShrink() {
        var object = JSON.Object()
        for i in 0..<40 { object["k\(i)"] = .integer(i) }
        object["k7"] = nil
        object["k9"] = .bool(true)
        #expect(object.count == 39)
        #expect(object["k39"] == .integer(39) && object["k9"] == .bool(true) && object["k7"] == nil)
        for i in 10..<40 { object["k\(i)"] = nil }
        #expect(object.keys == ["k0", "k1", "k2", "k3", "k4", "k5", "k6", "k8", "k9"])
        #expect(object["k0"] == .integer(0) && object["k39"] == nil)
    }

    @Test func writesAsPythonDoes() throws {
        let source = #"{"a": {}, "b": [], "c": [1, {"d": null}], "e": "é😀\"\\\u007f\u0001"}"#
        let expected = #"""
            {
              "a": {},
              "b": [],
              "c": [
                1,
                {
                  "d": null
                }
              ],
              "e": "\u00e9\ud83d\ude00\"\\\u007f\u0001"
            }
            """#
        #expect(try parse(source).text(.python) == expected)
        #expect(try parse(expected) == parse(source))
        #expect(
            try parse(source).text(.compact)
                == "{\"a\":{},\"b\":[],\"c\":[1,{\"d\":null}],\"e\":\"é😀\\\"\\\\\u{7F}\\u0001\"}")
    }

    @Test func fieldsSayWhatTheyExpected() throws {
        let fields = try JSONFields(
            parse(#"{"hidden_size": "abc", "n": 3, "x": {"factor": 0}}"#), path: "config.json")
        func message(_ body: () throws -> Void) -> String {
            do { try body() } catch { return "\(error)" }
            return "no error"
        }
        #expect(
            message { _ = try fields.integer("hidden_size", in: 1...1_000_000) }
                == #"config.json: 'hidden_size' is the string "abc", expected an integer from 1 to 1000000"#)
        #expect(message { _ = try fields.string("y") } == "config.json: 'y' is missing, expected a string")
        #expect(
            message { _ = try fields.fields("x").positiveNumber("factor") }
                == "config.json: 'x.factor' is the number 0, expected a positive number")
        #expect(try fields.integer("n") == 3)
        #expect(try fields.number("n") == 3)
    }

    @Test func aLargeVocabularyIsQuick() throws {
        var text = "{\"vocab\":{"
        for i in 0..<100_000 { text += "\(i == 0 ? "" : ",")\"token\(i)\":\(i)" }
        text += "},\"merges\":["
        for i in 0..<100_000 { text += "\(i == 0 ? "" : ",")\"left\(i) right\(i)\"" }
        text += "]}"
        let bytes = Array(text.utf8)
        let clock = ContinuousClock()
        var best = Duration.seconds(100)
        for _ in 0..<3 {
            best = min(best, try clock.measure { _ = try JSON.parse(bytes, path: "tokenizer.json") })
        }
        print("\(bytes.count) bytes of JSON parsed in \(best)")
        #expect(best < .seconds(2))
    }
}
