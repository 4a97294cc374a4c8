// Thousands of fixtures damaged at random (the same on every run): each is read or refused, nothing traps.

import Checkpoints
import Glibc
import Testing

@Suite struct DamagedFilesTests {
    /// Opens `count` damaged copies of a fixture whose first `head` bytes describe the rest; returns the
    /// number refused.
    private func refusals(
        of name: String, head: Int, count: Int, _ open: (String) throws -> Void
    ) throws -> Int {
        let original = try contents(fixture(name))
        var random = SplitMix(state: UInt64(head))
        return try withTemporaryFolder { folder in
            var refused = 0
            for _ in 0..<count {
                var bytes = original
                for _ in 0..<Int.random(in: 1...4, using: &random) { damage(&bytes, head, &random) }
                let path = folder + "/damaged"
                let file = try #require(fopen(path, "w"))
                fwrite(bytes, 1, bytes.count, file)
                fclose(file)
                do { try open(path) } catch is FileError { refused += 1 }
            }
            return refused
        }
    }

    private func damage(_ bytes: inout [UInt8], _ head: Int, _ random: inout SplitMix) {
        let at = Int.random(in: 0..<min(head, bytes.count), using: &random)
        switch Int.random(in: 0..<4, using: &random) {
        case 0: bytes[at] = UInt8.random(in: 0...255, using: &random)
        case 1: bytes[at] ^= 1 << UInt8.random(in: 0..<8, using: &random)
        case 2:
            for i in at..<min(at + 8, bytes.count) {
                bytes[i] = [0, 127, 128, 255].randomElement(using: &random) ?? 0
            }
        default: bytes.removeSubrange(at..<min(at + Int.random(in: 1...9, using: &random), bytes.count))
        }
    }

    @Test func gguf() throws {
        let refused = try refusals(of: "tiny.gguf", head: 1900, count: 1000) { path in
            for tensor in try Checkpoint.open(path: path).tensors { _ = try tensor.floats() }
        }
        #expect(refused > 500)
    }

    @Test func safetensors() throws {
        let refused = try refusals(of: "tiny-hf/model.safetensors", head: 2500, count: 1000) { path in
            for tensor in try SafetensorsFile(path).tensors { _ = try tensor.floats() }
        }
        #expect(refused > 500)
    }

    @Test func configs() throws {
        #expect(
            try refusals(of: "tiny-hf/config.json", head: 1000, count: 1000) { path in
                let spec = try ModelSpec(huggingFace: JSONFields(JSON.read(path), path: path))
                _ = spec.attentions[0].rope?.inverseFrequencies()
            } > 500)
        #expect(
            try refusals(of: "adapters/patterns/adapter_config.json", head: 2000, count: 1000) { path in
                _ = try PEFTConfig.read(path).text
            } > 500)
    }
}

private struct SplitMix: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}
