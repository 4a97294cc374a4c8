// Chapter "Versioning" of loravk.h.

import CLoRAVK
import Glibc

private nonisolated(unsafe) let version = strdup(
    "\(LORAVK_VERSION_MAJOR).\(LORAVK_VERSION_MINOR).\(LORAVK_VERSION_PATCH)")

@c @implementation public func loravk_version() -> UnsafePointer<CChar>! { version.map { UnsafePointer($0) } }

@c @implementation public func loravk_version_number() -> Int32 {
    Int32(LORAVK_VERSION_MAJOR * 1_000_000 + LORAVK_VERSION_MINOR * 1000 + LORAVK_VERSION_PATCH)
}

@c @implementation public func loravk_abi_version() -> Int32 { Int32(LORAVK_ABI_VERSION) }

@c @implementation public func loravk_has_feature(_ name: UnsafePointer<CChar>!) -> Bool {
    guard let name else { return false }
    return features.contains { strcmp(constant($0), name) == 0 }
}

@c @implementation public func loravk_feature_name(_ index: Int) -> UnsafePointer<CChar>! {
    features.indices.contains(index) ? constant(features[index]) : nil
}

/// Their names in loravk.h. Names that were given are never taken back.
private let features: [StaticString] = [
    "init-functions", "ragged-batches", "rows-in-memory", "token-losses", "embeddings",
    "objectives", "heads",
]

/// A text that lives for ever.
func constant(_ text: StaticString) -> UnsafePointer<CChar> {
    UnsafeRawPointer(text.utf8Start).assumingMemoryBound(to: CChar.self)
}
