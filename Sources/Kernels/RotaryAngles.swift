// The table of angles that rotary embedding turns by, built by the host in f64. Row p holds cos(p·ω_j) of every pair j, then
// sin(p·ω_j). Frequencies: ω_j = base^(−2j/R), rescaled for contexts longer than trained on.

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

package struct RotaryAngles: Sendable {
    /// ω of R/2 pairs.
    package let frequencies: [Double]
    /// Multiplies every cosine and sine: the attention factor of YaRN and longrope.
    package let scale: Double

    package init(frequencies: [Double], scale: Double = 1) {
        (self.frequencies, self.scale) = (frequencies, scale)
    }

    /// Without a scaling rule, for heads of which the first `headSize` numbers turn.
    package init(headSize: Int, base: Double) {
        self.init(frequencies: (0..<headSize / 2).map { pow(base, -2 * Double($0) / Double(headSize)) })
    }

    /// (positions, R), rounded once. `factor` scales the row of a position further: queries of Ministral 3 grow by
    /// 1 + β·ln(1 + ⌊p / original length⌋), in a table of their own.
    package func table(positions: Int, factor: (Int) -> Double = { _ in 1 }) -> [Float] {
        var table: [Float] = []
        table.reserveCapacity(positions * frequencies.count * 2)
        for position in 0..<positions {
            let angles = frequencies.map { Double(position) * $0 }
            let scale = scale * factor(position)
            table += angles.map { Float(scale * cos($0)) }
            table += angles.map { Float(scale * sin($0)) }
        }
        return table
    }
}
