// The debugging switches, all of them, read once from the environment.

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

package struct DebugOptions: Sendable {
    /// LORAVK_VALIDATION=1: Khronos validation layer with synchronisation validation; messages go to stderr and to
    /// `Instance.validationMessages`.
    package var validation = false
    /// LORAVK_NO_REPLAY=1: every training step is recorded anew instead of replayed.
    package var noReplay = false
    /// LORAVK_SMALL_LIMITS=1: pretend that the device has tiny limits, so that every splitting path runs.
    package var smallLimits = false
    /// LORAVK_STAGED=1: pretend that the host does not see the device's memory, as with most cards, so that what is uploaded and
    /// downloaded passes through staging memory.
    package var staged = false
    /// LORAVK_FAMILY=texel|subgroup|shared|cooperative|host: use this kernel family wherever the device can run it; cooperative is shared
    /// with matrix units for large products of frozen weights, host the rule's family with large products by the processor.
    package var family: String?
    /// LORAVK_DEVICE=index or part of a name: the device to use where none is named.
    package var device: String?
    /// LORAVK_CACHE_DIR: where compiled pipelines are kept (default: the user's cache folder).
    package var cacheFolder: String?

    package init() {}

    package static let environment: DebugOptions = {
        func value(_ name: String) -> String? {
            getenv(name).map { String(cString: $0) }.flatMap { $0.isEmpty ? nil : $0 }
        }
        func flag(_ name: String) -> Bool { value(name).map { $0 != "0" } ?? false }
        var options = DebugOptions()
        options.validation = flag("LORAVK_VALIDATION")
        options.noReplay = flag("LORAVK_NO_REPLAY")
        options.smallLimits = flag("LORAVK_SMALL_LIMITS")
        options.staged = flag("LORAVK_STAGED")
        options.family = value("LORAVK_FAMILY")
        options.device = value("LORAVK_DEVICE")
        options.cacheFolder =
            value("LORAVK_CACHE_DIR")
            ?? value("XDG_CACHE_HOME").map { $0 + "/lora-vk" }
            ?? value("HOME").map { $0 + "/.cache/lora-vk" }
        return options
    }()
}
