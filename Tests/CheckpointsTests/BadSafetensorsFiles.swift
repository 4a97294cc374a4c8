// Bad safetensors files and bad sets of shards.

import Checkpoints
import Foundation

private func one(_ dtype: String, _ shape: String, _ offsets: String, data: Int = 16) -> [UInt8] {
    safetensors(#"{"t":{"dtype":"\#(dtype)","shape":\#(shape),"data_offsets":\#(offsets)}}"#, data: data)
}

private let metadata = #""metadata":{"total_size":1}"#

let badSafetensorsFiles: [BadFile] = [
    .safetensors("an empty file", "has 0 bytes") { [] },
    .safetensors("under 8 bytes", "has 7 bytes") { [UInt8](repeating: 0, count: 7) },
    .safetensors("a header past the end", "states a header of 100 bytes, the file has 10") {
        safetensors("{}", length: 100)
    },
    .safetensors("a header length of 2^64 − 1", "states a header of 18446744073709551615 bytes") {
        safetensors("{}", length: .max)
    },
    .safetensors("a header length of 0", "does not begin with '{'") { safetensors("") },
    .safetensors("a header that is not UTF-8", "byte 10: the text is not valid UTF-8") {
        littleEndian(UInt64(6)) + [0x7B, 0x22, 0xFF, 0x22, 0x3A, 0x7D]
    },
    .safetensors("a header that is no object", "does not begin with '{'") { safetensors("[1]") },
    .safetensors("a header that is cut", "byte 27: expected ',' or '}'") {
        safetensors(#"{"t":{"dtype":"F32""#)
    },
    .safetensors("a header of 100,000 braces", "nested deeper than 64") {
        safetensors(String(repeating: #"{"a":"#, count: 100_000))
    },
    BadFile("safetensors: a header over the cap", "has a header of 2 bytes, the limit is 1") { folder in
        var limits = LoadLimits()
        limits.headerBytes = 1
        try put(safetensors("{}"), at: folder + "/x.safetensors")
        _ = try SafetensorsFile(folder + "/x.safetensors", limits: limits)
    },
    .safetensors("a duplicate key", "the key 't' appears twice") {
        let entry = #""t":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}"#
        return safetensors("{\(entry),\(entry)}", data: 1)
    },
    .safetensors("a tensor that is no object", "'t' is the number 1, expected an object") {
        safetensors(#"{"t":1}"#)
    },
    .safetensors("no dtype", "'t.dtype' is missing") {
        safetensors(#"{"t":{"shape":[],"data_offsets":[0,0]}}"#)
    },
    .safetensors("an unknown dtype", "has the type 'Q4_0', which is not known") {
        one("Q4_0", "[4]", "[0,16]")
    },
    .safetensors("a shape that wraps", "whose size does not fit 64 bits") {
        one("F32", "[4294967296,4294967296]", "[0,16]")
    },
    .safetensors("a shape that wraps to 0 beside a zero", "whose size does not fit 64 bits") {
        one("F32", "[4294967296,4294967296,0]", "[0,0]", data: 0)
    },
    .safetensors("a size that wraps", "whose size does not fit 64 bits") {
        one("F64", "[2305843009213693952]", "[0,16]")
    },
    .safetensors("a shape larger than its offsets", "needs 20 bytes, its data_offsets hold 16") {
        one("F32", "[5]", "[0,16]")
    },
    .safetensors("a negative dimension", "'t.shape' holds the number -4") { one("F32", "[-4]", "[0,16]") },
    .safetensors("a dimension of 4.0", "'t.shape' holds the number 4.0") { one("F32", "[4.0]", "[0,16]") },
    .safetensors("nine dimensions", "has 9 dimensions, the limit is 8") {
        one("U8", "[1,1,1,1,1,1,1,1,16]", "[0,16]")
    },
    .safetensors("reversed offsets", "has the data_offsets [16, 0]") { one("F32", "[4]", "[16,0]") },
    .safetensors("negative offsets", "'t.data_offsets' holds the number -16") {
        one("F32", "[4]", "[-16,0]")
    },
    .safetensors("offsets beyond 2^63", "'t.data_offsets' holds the number") {
        one("F32", "[4]", "[9223372036854775808,9223372036854775824]")
    },
    .safetensors("one offset", "has the data_offsets [16]") { one("F32", "[4]", "[16]") },
    .safetensors("offsets past the end", "need 32 bytes of data, the file has 16") {
        one("F32", "[8]", "[0,32]")
    },
    .safetensors("a hole at the start", "begins at byte 4 of the data, the one before ends at 0") {
        one("F32", "[3]", "[4,16]")
    },
    .safetensors("a hole", "'b' begins at byte 5 of the data, the one before ends at 4") {
        safetensors(
            #"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"U8","shape":[3],"data_offsets":[5,8]}}"#,
            data: 8)
    },
    .safetensors("an overlap", "'b' begins at byte 2 of the data, inside another tensor") {
        safetensors(
            #"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"U8","shape":[6],"data_offsets":[2,8]}}"#,
            data: 8)
    },
    .safetensors("100,000 tensors on one range", "inside another tensor") {
        let entries = (0..<100_000).map { #""\#($0)":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}"# }
        return safetensors("{\(entries.joined(separator: ","))}", data: 8)
    },
    .safetensors("trailing bytes", "4 bytes follow the last tensor") {
        one("F32", "[4]", "[0,16]", data: 20)
    },
    .safetensors("data without tensors", "4 bytes follow the last tensor") { safetensors("{}", data: 4) },
    .safetensors("metadata that is not text", "'__metadata__.format' is the number 1, expected a string") {
        safetensors(#"{"__metadata__":{"format":1}}"#)
    },
    BadFile("safetensors: a type that is not a number type", "has the type I64, which cannot be read") {
        folder in
        try put(one("I64", "[2]", "[0,16]"), at: folder + "/x.safetensors")
        _ = try SafetensorsFile(folder + "/x.safetensors").tensors[0].floats()
    },
    .shards("a truncated shard", "bytes of data, the file has") { folder in
        let path = folder + "/model-00002-of-00003.safetensors"
        try put(Array(try contents(path).dropLast(100)), at: path)
    },
    .shards("a missing shard", "is missing") {
        try FileManager.default.removeItem(atPath: $0 + "/model-00002-of-00003.safetensors")
    },
    .shards(
        "an absolute path", "is not a plain name", index: #"{\#(metadata),"weight_map":{"a":"/etc/passwd"}}"#),
    .shards(
        "a path with ..", "is not a plain name",
        index: #"{\#(metadata),"weight_map":{"a":"../x.safetensors"}}"#),
    .shards("the folder above", "is not a plain name", index: #"{\#(metadata),"weight_map":{"a":".."}}"#),
    .shards("a link to nothing", "is missing") { folder in
        let name = "/model-00002-of-00003.safetensors"
        try FileManager.default.removeItem(atPath: folder + name)
        try FileManager.default.createSymbolicLink(atPath: folder + name, withDestinationPath: "nowhere")
    },
    .shards(
        "a tensor in another shard", "lacks the tensor 'a'",
        index: #"{"weight_map":{"a":"model-00001-of-00003.safetensors"}}"#),
    .shards("a file that is a number", "'weight_map.a' is the number 1", index: #"{"weight_map":{"a":1}}"#),
    .shards("no map", "'weight_map' is missing", index: "{}"),
    .shards("no weights", "holds neither model.safetensors nor") { folder in
        try FileManager.default.removeItem(atPath: folder + "/model.safetensors.index.json")
    },
    .shards("pickled weights", "which can run code when opened") { folder in
        try FileManager.default.removeItem(atPath: folder + "/model.safetensors.index.json")
        try put("", at: folder + "/pytorch_model.bin")
    },
]
