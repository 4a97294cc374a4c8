// Chapter "Versioning" of loravk.h.

import CLoRAVK
import Glibc

private nonisolated(unsafe) let version = strdup(
    "\(LORAVK_VERSION_MAJOR).\(LORAVK_VERSION_MINOR).\(LORAVK_VERSION_PATCH)")

@c @implementation public func loravk_version() -> UnsafePointer<CChar>! { version.map { UnsafePointer($0) } }

@c @implementation public func loravk_abi_version() -> Int32 { Int32(LORAVK_ABI_VERSION) }

@c @implementation public func loravk_has_feature(_ name: UnsafePointer<CChar>!) -> Bool {
    guard let name else { return false }
    return features.contains(String(cString: name))
}

/// None yet: everything of this version is always there.
private let features: Set<String> = []

/// A text that lives for ever.
func constant(_ text: StaticString) -> UnsafePointer<CChar> {
    UnsafeRawPointer(text.utf8Start).assumingMemoryBound(to: CChar.self)
}
