// What a file may state, and numbers that are no use.

import Checkpoints
import Foundation
import Glibc
import Testing

struct LimitTests {
    /// Arrays of holes, which take no place on the disk.
    @Test func arraysOfAGGUFFileHaveALimitTogether() throws {
        try withTemporaryFolder { folder in
            let path = folder + "/holes.gguf"
            var limits = LoadLimits()
            limits.metadataBytes = 1 << 16
            func read(_ count: Int, arrays: Int) throws -> GGUFFile {
                var builder = GGUFBuilder()
                for index in 0..<arrays {
                    builder.key(
                        "a\(index)", type: 9,
                        littleEndian(UInt32(0)) + littleEndian(UInt64(count))
                            + [UInt8](repeating: 0, count: count))
                }
                try put(builder.bytes, at: path)
                return try GGUFFile(path, limits: limits)
            }
            guard case .array(let array) = try read(5000, arrays: 2).metadata["a1"] else {
                Issue.record("no array")
                return
            }
            #expect(array.count == 5000 && array.type == .uint8 && array[4999] == .uint8(0))
            #expect(
                errorText { _ = try read(50_000, arrays: 2) }?.contains(
                    "more than 65536 bytes before the data") == true)
            #expect(errorText { _ = try read(70_000, arrays: 1) }?.contains("the limit is 65536") == true)
        }
    }

    @Test func valuesOfJSONHaveALimit() throws {
        var limits = LoadLimits()
        limits.jsonValues = 100
        let text = Array(("[" + Array(repeating: "[0]", count: 50).joined(separator: ",") + "]").utf8)
        #expect(
            errorText { _ = try JSON.parse(text, path: "x", limits: limits) }?.contains(
                "more than 100 values") == true)
        limits.jsonValues = 101
        let json = try JSON.parse(text, path: "x", limits: limits)
        #expect(json.summary == "an array of 50")
    }

    @Test(arguments: ["1e-320", "1e-40", "1e39", "1e308"])
    func numbersThatFloatsCannotHoldAreNamed(_ number: String) throws {
        let json = try JSON.parse(Array("{\"rms_norm_eps\":\(number)}".utf8), path: "config.json")
        let text = errorText { _ = try JSONFields(json, path: "config.json").positiveNumber("rms_norm_eps") }
        #expect(text?.contains("expected a number that 32 bits can hold, from 1.2e-38 to 3.4e38") == true)
        let config = #"{"peft_type":"LORA","r":8,"lora_alpha":\#(number),"target_modules":["q_proj"]}"#
        let adapter = try JSONFields(JSON.parse(Array(config.utf8), path: "a.json"), path: "a.json")
        #expect(errorText { _ = try PEFTConfig(adapter) }?.contains("that 32 bits can hold") == true)
    }

    @Test func textsOfErrorsAreNotLong() throws {
        let text = FileError(
            "a", String(repeating: "n", count: 1 << 20), remedy: String(repeating: "é", count: 1 << 20))
        #expect(text.description.utf8.count < 4096)
    }
}
