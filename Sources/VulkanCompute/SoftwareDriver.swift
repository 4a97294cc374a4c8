// Mesa's software driver computes with vectors of 256 bits unless it is told before it loads that the processor has wider
// ones. Its subgroup then has 16 lanes instead of 8, and a matrix product takes half the instructions.

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

package enum SoftwareDriver {
    private static let variable = "LP_NATIVE_VECTOR_WIDTH"

    /// Asks Mesa for vectors of the width that was measured to be fastest, else of the processor's widest, once a process and
    /// before the first Vulkan call. A width that the user set stays, and other drivers never read the variable.
    /// Whether that made them wider by the rule.
    static let prepare: Bool = {
        guard !isSet, let bits = storedBits ?? (hasAVX512 ? 512 : nil) else { return false }
        setenv(variable, "\(bits)", 0)
        return bits > 256 && storedBits == nil
    }()

    /// True where a driver loaded that computes wrongly with vectors so wide: it must load again, and will find narrower ones.
    static func narrows(for devices: [Capabilities]) -> Bool {
        guard prepare, devices.contains(where: \.wideTexelsFail) else { return false }
        use(vectorBits: 256)
        return true
    }

    /// Widths to choose from.
    package static let vectorBits = [128, 256, 512]

    /// For this process, if no driver was loaded yet, and for the programs that it starts.
    package static func use(vectorBits: Int) { setenv(variable, "\(vectorBits)", 1) }

    /// Whether the user has set a width.
    package static var isSet: Bool { getenv(variable) != nil }

    /// Keeps the width for the programs to come; nil: the rule is back. False where it cannot be kept.
    @discardableResult
    package static func keep(vectorBits: Int?) -> Bool {
        guard let file else { return false }
        guard let vectorBits else {
            file.remove()
            return true
        }
        return file.write(Array("\(vectorBits)\n".utf8))
    }

    private static var file: CacheFile? {
        DebugOptions.environment.cacheFolder.map { CacheFile("software-driver.txt", in: $0) }
    }

    private static var storedBits: Int? {
        let text = String(decoding: file?.read() ?? [], as: UTF8.self)
        return text.split(separator: "\n").first.flatMap { Int($0) }.flatMap {
            vectorBits.contains($0) ? $0 : nil
        }
    }

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

extension Capabilities {
    /// Mesa's software driver overruns its stack where 16 lanes load texels: seen with 26.1 and 26.2, not with 22.3 and 25.0.
    package var wideTexelsFail: Bool { subgroupSize > 8 && mesaVersion.map { $0 > (25, 0) } ?? false }

    /// Of a software driver of Mesa's.
    private var mesaVersion: (major: Int, minor: Int)? {
        guard type == .cpu, let name = driver.firstRange(of: "Mesa ") else { return nil }
        let numbers = driver[name.upperBound...].prefix { $0.isNumber || $0 == "." }.split(separator: ".")
            .compactMap { Int($0) }
        return numbers.count >= 2 ? (numbers[0], numbers[1]) : nil
    }
}
