// What can be said of a mean over few runs: Student's t.
//
//   interval     x̄ ± t(0.975; n−1)·s/√n
//   paired test  t = d̄/(s_d/√n) over the differences d of runs with the same seed;  p = P(|T| ≥ |t|)

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

extension [Double] {
    package var mean: Double { isEmpty ? .nan : reduce(0, +) / Double(count) }

    /// The standard deviation of a sample; 0 for one value.
    package var deviation: Double {
        guard count > 1 else { return 0 }
        let mean = mean
        return (reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(count - 1)).squareRoot()
    }

    /// Half the width of the 95 % interval of the mean; nil for fewer than two values.
    package var halfInterval: Double? {
        guard count > 1 else { return nil }
        return StudentT(freedom: Double(count - 1)).quantile(0.975) * deviation / Double(count).squareRoot()
    }

    /// How often a mean at least this far from 0 comes of values whose true mean is 0; nil where that cannot be told.
    package var pOfZeroMean: Double? {
        guard count > 1, deviation > 0, mean.isFinite else { return nil }
        let t = mean / (deviation / Double(count).squareRoot())
        return 2 * StudentT(freedom: Double(count - 1)).tail(abs(t))
    }
}

package struct StudentT {
    let freedom: Double

    package init(freedom: Double) { self.freedom = freedom }

    /// P(T ≥ t) = ½·I(ν/(ν + t²); ν/2, ½) for t ≥ 0.
    package func tail(_ t: Double) -> Double {
        Self.beta(freedom / (freedom + t * t), freedom / 2, 0.5) / 2
    }

    /// The t with P(T ≤ t) = `share`, for shares from ½ on.
    package func quantile(_ share: Double) -> Double {
        var (low, high) = (0.0, 1.0)
        while tail(high) > 1 - share, high < 1e12 { high *= 2 }
        for _ in 0..<200 {
            let middle = (low + high) / 2
            if tail(middle) > 1 - share { low = middle } else { high = middle }
        }
        return (low + high) / 2
    }

    /// The regularised incomplete beta function by its continued fraction (Lentz; Abramowitz & Stegun 26.5.8).
    private static func beta(_ x: Double, _ a: Double, _ b: Double) -> Double {
        guard x > 0 else { return 0 }
        guard x < 1 else { return 1 }
        // The fraction converges fast on this side only.
        guard x <= (a + 1) / (a + b + 2) else { return 1 - beta(1 - x, b, a) }
        let logarithm: Double = lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log(1 - x)
        let front = exp(logarithm) / a
        var (c, d) = (1.0, 1 / (1 - (a + b) * x / (a + 1)))
        var fraction = d
        for m in 1...500 {
            let m = Double(m)
            let twice = a + 2 * m
            let even: Double = m * (b - m) * x / ((twice - 1) * twice)
            let odd: Double = -(a + m) * (a + b + m) * x / (twice * (twice + 1))
            for term in [even, odd] {
                d = 1 / (1 + term * d)
                c = 1 + term / c
                fraction *= d * c
            }
            if abs(d * c - 1) < 1e-15 { break }
        }
        return front * fraction
    }
}
