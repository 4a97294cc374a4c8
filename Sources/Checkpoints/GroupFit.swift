// The scale of each of eight groups of n numbers in a K-quant, one group a lane of every vector, so that a group's sums have the order
// of ggml's loops whatever the vectors' width is. Two forms: x ≈ scale·q − minimum, and x ≈ scale·(q − top).

struct GroupFit {
    typealias Lanes = SIMD8<Float>
    typealias Codes = SIMD8<Int32>

    /// Groups of numbers below it count as zeros.
    static let least: Float = 1e-15

    enum Weight {
        /// Of an error |x̂ − x|: |x|.
        case byMagnitude
        /// Of an error (x̂ − x)²: √mean(x²) + |x|.
        case byMean
    }

    private let count: Int  // n
    private let x: UnsafeMutablePointer<Lanes>  // (n)
    private let weights: UnsafeMutablePointer<Lanes>  // (n)
    private let codes: UnsafeMutablePointer<Codes>  // (n)
    private let tried: UnsafeMutablePointer<Codes>  // (n)

    /// Of groups behind each other; `numbers` and `integers` are room for 2·n vectors.
    init(
        _ source: UnsafePointer<Float>, count: Int, numbers: UnsafeMutablePointer<Lanes>,
        integers: UnsafeMutablePointer<Codes>
    ) {
        self.count = count
        (x, weights, codes, tried) = (numbers, numbers + count, integers, integers + count)
        for l in 0..<count {
            var vector = Lanes.zero
            for lane in 0..<8 { vector[lane] = source[lane * count + l] }
            x[l] = vector
        }
    }

    /// The codes in the order of the numbers.
    func store(_ target: UnsafeMutablePointer<UInt8>) {
        for l in 0..<count {
            let vector = codes[l]
            for lane in 0..<8 { target[lane * count + l] = UInt8(truncatingIfNeeded: vector[lane]) }
        }
    }

    /// Codes q of x ≈ step·(q + range's lower bound) − offset. Groups whose step came out as zero keep theirs.
    func code(step: Lanes, offset: Lanes = .zero, _ range: ClosedRange<Int32>) {
        let isCoded = step .!= 0
        for l in 0..<count {
            let code = clamped(nearest((x[l] + offset) / step), range) &- range.lowerBound
            codes[l].replace(with: code, where: isCoded)
        }
    }

    /// x ≈ scale·q − minimum, q in 0...top: for each of some steps near (max − min)/top the codes, and for these the scale and
    /// the minimum of least squares; kept are those of the smallest error. A minimum is never negative.
    func scaleAndMinimum(
        top: Int32, weigh: Weight, from first: Float, by increment: Float, tries: Int
    ) -> (scale: Lanes, minimum: Lanes) {
        weighNumbers(weigh)
        var (low, high, sumW, sumX) = (x[0], x[0], weights[0], weights[0] * x[0])
        for l in 1..<count {
            low.replace(with: x[l], where: x[l] .< low)
            high.replace(with: x[l], where: x[l] .> high)
            sumW += weights[l]
            sumX += weights[l] * x[l]
        }
        low.replace(with: 0, where: low .> 0)
        let (isFlat, flat) = (high .== low, low)
        var inverse = Float(top) / (high - low)
        var scale = 1 / inverse
        for l in 0..<count { codes[l] = clamped(nearest(inverse * (x[l] - low)), 0...top) }
        var least = error(codes, scale, low, weigh)
        for index in 0..<tries {
            inverse = (first + increment * Float(index) + Float(top)) / (high - low)
            var (sumQ, sumQ2, sumQX) = (Lanes.zero, Lanes.zero, Lanes.zero)
            for l in 0..<count {
                let code = clamped(nearest(inverse * (x[l] - low)), 0...top)
                tried[l] = code
                let q = Lanes(code)
                let weighted = weights[l] * q
                sumQ += weighted
                sumQ2 += weighted * q
                sumQX += weighted * x[l]
            }
            let determinant = sumW * sumQ2 - sumQ * sumQ
            var newScale = (sumW * sumQX - sumX * sumQ) / determinant
            var newLow = (sumQ2 * sumX - sumQ * sumQX) / determinant
            let isAbove = newLow .> 0
            newScale.replace(with: sumQX / sumQ2, where: isAbove)
            newLow.replace(with: 0, where: isAbove)
            let error = error(tried, newScale, newLow, weigh)
            let isBetter = (determinant .> 0) .& (error .< least)
            if !any(isBetter) { continue }
            for l in 0..<count { codes[l].replace(with: tried[l], where: isBetter) }
            least.replace(with: error, where: isBetter)
            scale.replace(with: newScale, where: isBetter)
            low.replace(with: newLow, where: isBetter)
        }
        scale.replace(with: 0, where: isFlat)
        low.replace(with: flat, where: isFlat)
        for l in 0..<count { codes[l].replace(with: 0, where: isFlat) }
        return (scale, 0 - low)
    }

    private func weighNumbers(_ kind: Weight) {
        switch kind {
        case .byMagnitude: for l in 0..<count { weights[l] = magnitude(x[l]) }
        case .byMean:
            var sum = Lanes.zero
            for l in 0..<count { sum += x[l] * x[l] }
            let mean = (sum / Float(count)).squareRoot()
            for l in 0..<count { weights[l] = mean + magnitude(x[l]) }
        }
    }

    @inline(__always)
    private func error(_ codes: UnsafePointer<Codes>, _ scale: Lanes, _ low: Lanes, _ weigh: Weight) -> Lanes
    {
        var sum = Lanes.zero
        for l in 0..<count {
            let difference = scale * Lanes(codes[l]) + low - x[l]
            sum += weights[l] * (weigh == .byMagnitude ? magnitude(difference) : difference * difference)
        }
        return sum
    }

    /// x ≈ scale·(q − top), q in 0..<2·top, errors weighted by x²: the number farthest from zero is given codes near −top by turns.
    func scale(searched top: Int32) -> Lanes {
        let (extreme, isZero) = extremes()
        var inverse = Float(-top) / extreme
        var (sumXQ, sumQ2) = sums(inverse, top)
        var scale = (sumXQ / sumQ2).replacing(with: 0, where: sumQ2 .== 0)
        var (best, bestInverse) = (scale * sumXQ, inverse)
        for index in -9...9 where index != 0 {
            inverse = (0 - (Float(top) + 0.1 * Float(index))) / extreme
            (sumXQ, sumQ2) = sums(inverse, top)
            let isBetter = (sumQ2 .> 0) .& (sumXQ * sumXQ .> best * sumQ2)
            scale.replace(with: sumXQ / sumQ2, where: isBetter)
            best.replace(with: scale * sumXQ, where: isBetter)
            bestInverse.replace(with: inverse, where: isBetter)
        }
        for l in 0..<count {
            let code = clamped(nearest(bestInverse * x[l]), -top...top - 1) &+ top
            codes[l] = code.replacing(with: 0, where: isZero)
        }
        return scale.replacing(with: 0, where: isZero)
    }

    /// The same: codes are changed one by one, five times around, where that lessens the error.
    func scale(refined top: Int32) -> Lanes {
        let (extreme, isZero) = extremes()
        let inverse = Float(-top) / extreme
        var (sumXQ, sumQ2) = sums(inverse, top)
        for l in 0..<count { codes[l] = clamped(nearest(inverse * x[l]), -top...top - 1) }
        for _ in 0..<5 {
            var isChanged = false
            for l in 0..<count {
                let (weight, q) = (x[l] * x[l], Lanes(codes[l]))
                var (otherXQ, otherQ2) = (sumXQ - weight * x[l] * q, sumQ2 - weight * q * q)
                let canChange = otherXQ .> 0
                let code = clamped(nearest(x[l] * otherQ2 / otherXQ), -top...top - 1)
                let new = Lanes(code)
                otherXQ += weight * x[l] * new
                otherQ2 += weight * new * new
                let isBetter =
                    canChange .& (code .!= codes[l]) .& (otherQ2 .> 0)
                    .& (otherXQ * otherXQ * sumQ2 .> sumXQ * sumXQ * otherQ2)
                guard any(isBetter) else { continue }
                isChanged = true
                codes[l].replace(with: code, where: isBetter)
                sumXQ.replace(with: otherXQ, where: isBetter)
                sumQ2.replace(with: otherQ2, where: isBetter)
            }
            if !isChanged { break }
        }
        for l in 0..<count { codes[l] = (codes[l] &+ top).replacing(with: 0, where: isZero) }
        let scale = (sumXQ / sumQ2).replacing(with: 0, where: .!(sumQ2 .> 0))
        return scale.replacing(with: 0, where: isZero)
    }

    /// Of each group the first number that is farthest from zero, and whether all count as zeros.
    private func extremes() -> (extreme: Lanes, isZero: SIMDMask<Codes>) {
        var (extreme, farthest) = (Lanes.zero, Lanes.zero)
        for l in 0..<count {
            let size = magnitude(x[l])
            let isFarther = size .> farthest
            farthest.replace(with: size, where: isFarther)
            extreme.replace(with: x[l], where: isFarther)
        }
        return (extreme, farthest .< GroupFit.least)
    }

    /// Σ x²·x·q and Σ x²·q², q being the codes that an inverse scale gives.
    @inline(__always)
    private func sums(_ inverse: Lanes, _ top: Int32) -> (xq: Lanes, q2: Lanes) {
        var (sumXQ, sumQ2) = (Lanes.zero, Lanes.zero)
        for l in 0..<count {
            let q = Lanes(clamped(nearest(inverse * x[l]), -top...top - 1))
            let weight = x[l] * x[l]
            sumXQ += weight * x[l] * q
            sumQ2 += weight * q * q
        }
        return (sumXQ, sumQ2)
    }
}

/// To integers, halves to even, by adding 1.5·2²³: exact below 2²², and no number traps.
@inline(__always)
func nearest(_ value: GroupFit.Lanes) -> GroupFit.Codes {
    let bits = unsafeBitCast(value + 0x1.8p23, to: GroupFit.Codes.self)
    return (bits & 0x007F_FFFF) &- 0x0040_0000
}

/// Compared as vectors: with numbers it would be a loop over the lanes.
@inline(__always)
func clamped(_ codes: GroupFit.Codes, _ range: ClosedRange<Int32>) -> GroupFit.Codes {
    let (low, high) = (
        GroupFit.Codes(repeating: range.lowerBound), GroupFit.Codes(repeating: range.upperBound)
    )
    let raised = codes.replacing(with: low, where: codes .< low)
    return raised.replacing(with: high, where: raised .> high)
}

@inline(__always)
private func magnitude(_ value: GroupFit.Lanes) -> GroupFit.Lanes {
    unsafeBitCast(unsafeBitCast(value, to: GroupFit.Codes.self) & 0x7FFF_FFFF, to: GroupFit.Lanes.self)
}
