// What a file may ask of its reader. Everything read is untrusted, so each size a file states is held against
// one of these, and against the size of the file, before anything is allocated.

package struct LoadLimits: Sendable {
    /// Nesting of JSON objects and arrays, and of GGUF arrays. The parser recurses, so keep it below a few
    /// thousand.
    package var depth = 64
    /// Size of one JSON document.
    package var jsonBytes = 1 << 27
    /// Values of one JSON document: each needs memory of its own, up to some hundred bytes.
    package var jsonValues = 1 << 23
    /// Size of the JSON header of a safetensors file: the cap of the `safetensors` library.
    package var headerBytes = 100_000_000
    /// Tensors in one file, keys of GGUF metadata, files of a sharded checkpoint.
    package var tensors = 1_000_000
    package var metadataKeys = 1_000_000
    package var shards = 10_000
    /// Dimensions of a tensor.
    package var rank = 8
    /// Elements of one GGUF array, bytes of one GGUF string.
    package var arrayCount = 1 << 24
    package var stringBytes = 1 << 26
    /// What lies before the data of a GGUF file.
    package var metadataBytes = 1 << 27

    package static let standard = LoadLimits()

    package init() {}
}
