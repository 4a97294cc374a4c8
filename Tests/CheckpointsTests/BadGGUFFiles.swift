// Bad GGUF files: the places where parsers of well-known projects overflow, and cuts at every section.

import Checkpoints

private func tensor(_ sizes: [UInt64], type: UInt32 = 0, offset: UInt64 = 0, data: Int = 64) -> [UInt8] {
    var builder = GGUFBuilder()
    builder.tensor("t", sizes, type: type, offset: offset)
    builder.dataBytes = data
    return builder.bytes
}

private func fixtureCut(_ length: Int) throws -> [UInt8] {
    Array(try contents(fixture("tiny.gguf")).prefix(length))
}

let badGGUFFiles: [BadFile] = [
    .gguf("an empty file", "has 0 bytes") { [] },
    .gguf("another magic", "is not a GGUF file") { Array("GGJT".utf8) + [UInt8](repeating: 0, count: 40) },
    .gguf("a future version", "version 4; versions 2 and 3") {
        var builder = GGUFBuilder()
        builder.version = 4
        return builder.bytes
    },
    .gguf("version 1", "version 1; versions 2 and 3") {
        var builder = GGUFBuilder()
        builder.version = 1
        return builder.bytes
    },
    .gguf("the other byte order", "big-endian") {
        var builder = GGUFBuilder()
        builder.version = UInt32(3).byteSwapped
        return builder.bytes
    },
    .gguf("a huge key count", "states 1152921504606846976 keys") {
        var builder = GGUFBuilder()
        builder.keyCount = 1 << 60
        return builder.bytes
    },
    .gguf("a huge tensor count", "states 18446744073709551615 tensors") {
        var builder = GGUFBuilder()
        builder.tensorCount = .max
        return builder.bytes
    },
    .gguf("a count whose records wrap", "states 768614336404564651 tensors") {
        var builder = GGUFBuilder()
        builder.tensorCount = UInt64.max / 24 + 1
        return builder.bytes
    },
    .gguf("an array of 2^63 elements", "states 9223372036854775808 elements of 'a'") {
        var builder = GGUFBuilder()
        builder.key("a", type: 9, littleEndian(UInt32(0)) + littleEndian(UInt64(1) << 63))
        return builder.bytes
    },
    .gguf("an array whose size wraps", "states 4611686018427387904 elements of 'a'") {
        var builder = GGUFBuilder()
        builder.key("a", type: 9, littleEndian(UInt32(4)) + littleEndian(UInt64(1) << 62))
        return builder.bytes
    },
    .gguf("arrays nested 1,000 deep", "nests arrays deeper than 64") {
        var builder = GGUFBuilder()
        let level = littleEndian(UInt32(9)) + littleEndian(UInt64(1))
        let levels = [[UInt8]](repeating: level, count: 1000).joined()
        builder.key("a", type: 9, Array(levels) + littleEndian(UInt32(0)) + littleEndian(UInt64(0)))
        return builder.bytes
    },
    .gguf("a string past the end", "states 4611686018427387904 bytes of 'a'") {
        var builder = GGUFBuilder()
        builder.key("a", type: 8, littleEndian(UInt64(1) << 62))
        return builder.bytes
    },
    .gguf("a string that is not UTF-8", "'a' is not valid UTF-8") {
        var builder = GGUFBuilder()
        builder.key("a", type: 8, littleEndian(UInt64(2)) + [0xC3, 0x28])
        return builder.bytes
    },
    .gguf("a key of an unknown type", "type number 13, which is not known") {
        var builder = GGUFBuilder()
        builder.key("a", type: 13, [0, 0, 0, 0])
        return builder.bytes
    },
    .gguf("a bool of 2", "is a bool of value 2") {
        var builder = GGUFBuilder()
        builder.key("a", type: 7, [2])
        return builder.bytes
    },
    .gguf("a key twice", "the key 'a' appears twice") {
        var builder = GGUFBuilder()
        builder.key("a", UInt32(1))
        builder.key("a", UInt32(2))
        return builder.bytes
    },
    .gguf("a tensor twice", "holds two tensors called 't'") {
        var builder = GGUFBuilder()
        builder.tensor("t", [8])
        builder.tensor("t", [8], offset: 32)
        builder.dataBytes = 64
        return builder.bytes
    },
    .gguf("100,000 tensors of one name", "holds two tensors called 't'") {
        var builder = GGUFBuilder()
        for _ in 0..<100_000 { builder.tensor("t", [0]) }
        return builder.bytes
    },
    .gguf("alignment 0", "'general.alignment' is the uint32 0") {
        var builder = GGUFBuilder()
        builder.key("general.alignment", UInt32(0))
        return builder.bytes
    },
    .gguf("alignment 3", "'general.alignment' is the uint32 3, expected a uint32 that is a power of two") {
        var builder = GGUFBuilder()
        builder.key("general.alignment", UInt32(3))
        return builder.bytes
    },
    .gguf("alignment 2^31", "'general.alignment' is the uint32 2147483648") {
        var builder = GGUFBuilder()
        builder.key("general.alignment", UInt32(1) << 31)
        return builder.bytes
    },
    .gguf("alignment of another type", "'general.alignment' is the string \"32\"") {
        var builder = GGUFBuilder()
        builder.key("general.alignment", "32")
        return builder.bytes
    },
    .gguf("a negative dimension", "has the dimension 18446744073709551615") { tensor([.max]) },
    .gguf("a huge dimension", "does not fit 64 bits") { tensor([1 << 62, 4]) },
    .gguf("a product that wraps to 0", "does not fit 64 bits") { tensor([1 << 32, 1 << 32]) },
    .gguf("a product that wraps to 0, with a zero", "does not fit 64 bits") {
        tensor([1 << 32, 1 << 32, 0])
    },
    .gguf("a dimension of 2^42 + 1", "ends at byte") { tensor([(1 << 42) + 1]) },
    .gguf("a stride that wraps to 0", "does not fit 64 bits") { tensor([(1 << 42) + 1, 1 << 22, 1]) },
    .gguf("a dimension of 2^63 − 3", "does not fit 64 bits") { tensor([(1 << 63) - 3]) },
    .gguf("padding that wraps", "ends beyond 2^63") { tensor([(1 << 63) - 3], type: 24) },
    .gguf("type size × elements that wraps", "ends beyond 2^63") { tensor([1 << 61, 3], type: 1) },
    .gguf("type size × blocks that wraps", "does not fit 64 bits") { tensor([(1 << 63) - 32], type: 8) },
    .gguf("columns that are not whole blocks", "has 48 columns, not whole blocks of 32 as Q4_0 needs") {
        tensor([48, 2], type: 2)
    },
    .gguf("nine dimensions", "has 9 dimensions, the limit is 8") { tensor([UInt64](repeating: 1, count: 9)) },
    .gguf("2^32 − 1 dimensions", "has 4294967295 dimensions") {
        var builder = GGUFBuilder()
        builder.tensorCount = 1
        return builder.bytes + GGUFBuilder.text("t") + [255, 255, 255, 255] + [UInt8](repeating: 0, count: 64)
    },
    .gguf("an unknown tensor type", "type number 4, which is not known") { tensor([8], type: 4) },
    .gguf("offset + size that wraps", "begins beyond 2^63") { tensor([8], offset: (1 << 63) - 32) },
    .gguf("an offset beyond 2^63", "begins at 18446744073709551584, beyond 2^63") {
        tensor([8], offset: UInt64.max - 31)
    },
    .gguf("a misaligned tensor", "begins at 4, not at a multiple of 32") {
        tensor([8], offset: 4)
    },
    .gguf("summed sizes that wrap", "ends beyond 2^63") {
        var builder = GGUFBuilder()
        builder.tensor("a", [1 << 60, 7])
        builder.tensor("b", [1 << 60, 7], offset: 32)
        builder.dataBytes = 64
        return builder.bytes
    },
    .gguf("overlapping tensors", "the tensors 'a' and 'b' overlap at byte") {
        var builder = GGUFBuilder()
        builder.tensor("a", [16])
        builder.tensor("b", [8], offset: 32)
        builder.dataBytes = 64
        return builder.bytes
    },
    .gguf("cut inside the counts", "has 20 bytes") { try fixtureCut(20) },
    .gguf("cut inside a key", "more than fit into the 40 bytes") { try fixtureCut(40) },
    .gguf("cut inside the metadata", "the 300 bytes of the file") { try fixtureCut(300) },
    .gguf("cut inside the tensor list", "the name of a tensor, more than fit") { try fixtureCut(1_500) },
    .gguf("cut before the data", "ends at byte") { try fixtureCut(2_000) },
    .gguf("cut inside the last tensor", "ends at byte 28832, the file has 28800") { try fixtureCut(28_800) },
    .ggufKey("another architecture", "is the string \"bloom\", expected llama", without: ["architecture"]) {
        $0.key("general.architecture", "bloom")
    },
    .ggufKey("no architecture", "'general.architecture' is missing", without: ["architecture"]) { _ in },
    .ggufKey("an adapter", "'general.type' is the string \"adapter\"") { $0.key("general.type", "adapter") },
    .ggufKey("a part of a split file", "only whole GGUF files") { $0.key("split.count", UInt32(3)) },
    .ggufKey("experts of which none is used", "'llama.expert_used_count' is missing") {
        $0.key("llama.expert_count", UInt32(8))
    },
    .ggufKey("more experts used than there are", "'llama.expert_used_count' is the uint32 9") {
        $0.key("llama.expert_count", UInt32(8))
        $0.key("llama.expert_used_count", UInt32(9))
    },
    .ggufKey("more experts than a kernel counts", "'llama.expert_count' is the uint32 1025") {
        $0.key("llama.expert_count", UInt32(1025))
    },
    .ggufKey("0 heads", "'llama.attention.head_count' is the uint32 0", without: ["attention.head_count"]) {
        $0.key("llama.attention.head_count", UInt32(0))
    },
    .ggufKey("heads that do not divide the width", "is not a multiple of", without: ["attention.head_count"])
    {
        $0.key("llama.attention.head_count", UInt32(3))
    },
    .ggufKey("an array of head counts", "is an array of 1 uint32", without: ["attention.head_count"]) {
        $0.key(
            "llama.attention.head_count", type: 9,
            littleEndian(UInt32(4)) + littleEndian(UInt64(1)) + littleEndian(UInt32(2)))
    },
    .ggufKey("2^31 blocks", "'llama.block_count' is the uint32 2147483648", without: ["block_count"]) {
        $0.key("llama.block_count", UInt32(1) << 31)
    },
    .ggufKey("no width", "'llama.embedding_length' is missing", without: ["embedding_length"]) { _ in },
    .ggufKey(
        "a width that is text", "'llama.embedding_length' is the string \"32\"", without: ["embedding_length"]
    ) {
        $0.key("llama.embedding_length", "32")
    },
    .ggufKey(
        "a width that is a float", "'llama.embedding_length' is the float32 32.0",
        without: ["embedding_length"]
    ) {
        $0.key("llama.embedding_length", Float(32))
    },
    .ggufKey("an epsilon that is NaN", "expected a positive floating-point number", without: ["eps"]) {
        $0.key("llama.attention.layer_norm_rms_epsilon", Float.nan)
    },
    .ggufKey("a rope base of infinity", "'llama.rope.freq_base' is the float32 inf") {
        $0.key("llama.rope.freq_base", Float.infinity)
    },
    .ggufKey("an unknown rope scaling", "'llama.rope.scaling.type' is the string \"spiral\"") {
        $0.key("llama.rope.scaling.type", "spiral")
    },
    .ggufKey(
        "more than whole heads rotate",
        "'llama.rope.dimension_count' is the uint32 32, expected an integer from 2 to 16"
    ) {
        $0.key("llama.rope.dimension_count", UInt32(32))
    },
    .ggufKey("no tensors", "'token_embd.weight' is missing, 'blk.0.attn_norm.weight' is missing") { _ in },
    .ggufKey("rope factors of another head", "has 4 rope frequency factors, a head of 16 needs 8") {
        $0.tensor("rope_freqs.weight", [4])
        $0.dataBytes = 16
    },
    .ggufKey("rope factors of 0", "a rope frequency factor that is not positive") {
        $0.tensor("rope_freqs.weight", [8])
        $0.dataBytes = 32
    },
    .ggufKey("rope factors beside linear scaling", "expected F32 and no other scaling") {
        $0.key("llama.rope.scaling.type", "linear")
        $0.key("llama.rope.scaling.factor", Float(2))
        $0.tensor("rope_freqs.weight", [8])
        $0.dataBytes = 32
    },
    BadFile("GGUF: a u8 array read as f32", "is an array of 1 uint8, expected an array of float32") {
        folder in
        var builder = GGUFBuilder()
        builder.key("tokenizer.ggml.scores", type: 9, littleEndian(UInt32(0)) + littleEndian(UInt64(1)) + [1])
        try put(builder.bytes, at: folder + "/x.gguf")
        _ = try GGUFFile(folder + "/x.gguf").metadata.optionalFloats("tokenizer.ggml.scores")
    },
    BadFile("GGUF: an array of strings read as numbers", "expected an array of integers") { folder in
        var builder = GGUFBuilder()
        let value = littleEndian(UInt32(8)) + littleEndian(UInt64(1)) + GGUFBuilder.text("1")
        builder.key("tokenizer.ggml.token_type", type: 9, value)
        try put(builder.bytes, at: folder + "/x.gguf")
        _ = try GGUFFile(folder + "/x.gguf").metadata.optionalIntegers("tokenizer.ggml.token_type")
    },
    BadFile("GGUF: a type that is not dequantised", "'t' has the type IQ4_NL, which cannot be read") {
        folder in
        try put(tensor([32], type: 20), at: folder + "/x.gguf")
        _ = try GGUFFile(folder + "/x.gguf").tensors[0].floats()
    },
    BadFile("GGUF: a folder", "has no config.json") { _ = try Checkpoint.open(path: $0) },
    BadFile("GGUF: no file", "does not exist") { _ = try Checkpoint.open(path: $0 + "/none.gguf") },
    BadFile("GGUF: a device", "is not a regular file") { _ in _ = try Checkpoint.open(path: "/dev/zero") },
]
