// Mesa's software driver computes with vectors of 256 bits unless it is told before it loads that the processor has wider
// ones. Its subgroup then has 16 lanes instead of 8, and a matrix product takes half the instructions.

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

enum SoftwareDriver {
    /// Asks Mesa for the processor's widest vectors, once a process and before the first Vulkan call. A width that the user set
    /// stays, and other drivers never read the variable.
    static let prepare: Void = {
        if hasAVX512 { setenv("LP_NATIVE_VECTOR_WIDTH", "512", 0) }
    }()

    /// Foundation, single-word, byte and 256-bit forms: what code for a server or desktop with AVX-512 uses.
    private static var hasAVX512: Bool {
        guard let flags = processorFlags() else { return false }
        return flags.isSuperset(of: ["avx512f", "avx512dq", "avx512bw", "avx512vl"])
    }

    /// Linux's names of what the first processor can do.
    private static func processorFlags() -> Set<Substring>? {
        guard let file = fopen("/proc/cpuinfo", "r") else { return nil }
        defer { fclose(file) }
        var line = [CChar](repeating: 0, count: 16384)
        while fgets(&line, Int32(line.count), file) != nil {
            let text = String(decoding: line.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
            if text.hasPrefix("flags") { return Set(text.split { $0 == " " || $0 == "\t" || $0 == "\n" }) }
        }
        return nil
    }
}
