// Numbers as people read them.

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

extension Double {
    /// So many significant digits, without exponent where it reads well.
    package func text(digits: Int = 4) -> String {
        guard isFinite, self != 0 else { return self == 0 ? "0" : "\(self)" }
        var buffer = [CChar](repeating: 0, count: 64)
        _ = withVaList([Int32(digits), self]) { vsnprintf(&buffer, buffer.count, "%.*g", $0) }
        return String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}

package func power(_ base: Double, _ exponent: Double) -> Double { pow(base, exponent) }
package func decadic(_ value: Double) -> Double { log10(value) }
