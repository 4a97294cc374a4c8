// How far a float result may be from its f64 reference: |actual − expected| ≤ absolute + relative·|expected|.

package struct Tolerance: Sendable {
    package var absolute: Double
    package var relative: Double

    package init(absolute: Double, relative: Double) {
        self.absolute = absolute
        self.relative = relative
    }

    /// For f32 arithmetic whose terms have magnitude `scale`; `roundings` is how many of them add up at worst.
    package static func float(roundings: Double = 16, scale: Double = 1) -> Tolerance {
        let eps = Double(Float.ulpOfOne)
        return Tolerance(absolute: eps * roundings * scale, relative: eps * roundings)
    }

    package static let exact = Tolerance(absolute: 0, relative: 0)

    package func allows(_ actual: Double, _ expected: Double) -> Bool {
        actual == expected || abs(actual - expected) <= absolute + relative * abs(expected)
    }
}

/// nil when every element is within the tolerance, else how many are not and the worst of them. A NaN never is.
package func mismatch(_ actual: [Float], _ expected: [Double], _ tolerance: Tolerance) -> String? {
    guard actual.count == expected.count else { return "\(actual.count) values, expected \(expected.count)" }
    let wrong = actual.indices.filter { !tolerance.allows(Double(actual[$0]), expected[$0]) }
    func excess(_ i: Int) -> Double {
        let difference = abs(Double(actual[i]) - expected[i])
        return difference.isNaN ? .infinity : difference
    }
    guard let worst = wrong.max(by: { excess($0) < excess($1) }) else { return nil }
    return
        "\(wrong.count) of \(actual.count) values are off; [\(worst)] is \(actual[worst]), expected \(expected[worst])"
}

package func mismatch(_ actual: [Double], _ expected: [Double], _ tolerance: Tolerance) -> String? {
    guard actual.count == expected.count else { return "\(actual.count) values, expected \(expected.count)" }
    guard let i = actual.indices.first(where: { !tolerance.allows(actual[$0], expected[$0]) }) else {
        return nil
    }
    return "[\(i)] is \(actual[i]), expected \(expected[i])"
}
