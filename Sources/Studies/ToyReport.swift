// What the toy study found, as CSV and figures: losses, the best and the largest stable learning rates of every width and seed,
// the features at the best one, and the exponents of power laws in the width fitted to these.

import Checkpoints
import Reports
import Sweeps

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

struct ToyReport {
    let rates: [Double]
    let seeds: [UInt64]
    let steps: Int
    private var widths: [Int] = []
    private var runs: [Series: [[ToyRun]]] = [:]  // [seed][rate]

    private struct Series: Hashable {
        let initialization: Initialization
        let width: Int
    }

    /// Of one seed.
    private struct Finding {
        let bestRate: Double
        let best: ToyRun
        /// The largest rate up to which every loss ends below where it began; nil: there is none.
        let stableRate: Double?
        /// The largest rate up to which no step's loss is above the first.
        let steadyRate: Double?

        init?(_ runs: [ToyRun], _ rates: [Double]) {
            guard let best = runs.indices.min(by: { runs[$0].loss < runs[$1].loss }), runs[best].loss.isFinite
            else { return nil }
            (bestRate, self.best) = (rates[best], runs[best])
            stableRate = zip(rates, runs).prefix { $1.loss < $1.firstLoss }.last?.0
            steadyRate = zip(rates, runs).prefix { $1.isSteady }.last?.0
        }
    }

    init(rates: [Double], seeds: [UInt64], steps: Int) {
        (self.rates, self.seeds, self.steps) = (rates, seeds, steps)
    }

    /// The runs of the next seed, one a rate.
    mutating func add(_ found: [ToyRun], _ initialization: Initialization, width: Int) {
        if !widths.contains(width) { widths.append(width) }
        runs[Series(initialization: initialization, width: width), default: []].append(found)
    }

    func write(to folder: String) throws {
        for (name, lines) in [
            ("runs", runLines), ("rates", rateLines), ("features", featureLines),
            ("exponents", exponentLines),
        ] {
            try AtomicFile.write(lines.joined(separator: "\n") + "\n", to: "\(folder)/\(name).csv")
        }
        for (name, plot) in [
            ("loss-init-a", lossPlot(.a)), ("loss-init-b", lossPlot(.b)), ("rates", ratePlot),
            ("features", featurePlot), ("features-width", featureWidthPlot),
        ] {
            try AtomicFile.write(plot.svg + "\n", to: "\(folder)/\(name).svg")
        }
    }

    // MARK: Findings

    private func runs(_ initialization: Initialization, _ width: Int) -> [[ToyRun]] {
        runs[Series(initialization: initialization, width: width)] ?? []
    }

    /// By seed; seeds whose every run diverged are left out.
    private func findings(_ initialization: Initialization, _ width: Int) -> [(
        seed: UInt64, finding: Finding
    )] {
        zip(seeds, runs(initialization, width)).compactMap { seed, runs in
            Finding(runs, rates).map { (seed, $0) }
        }
    }

    /// What may follow a power law in the width.
    private static let quantities: [(name: String, value: @Sendable (Finding) -> Double?)] = [
        ("best_lr", { $0.bestRate }), ("stable_lr", { $0.stableRate }),
        ("steady_lr", { $0.steadyRate }),
        ("z_a", { $0.best.features.last?.zA }), ("z_b", { $0.best.features.last?.zB }),
    ]

    private struct Exponents {
        let initialization: Initialization
        let quantity: String
        var bySeed: [(seed: UInt64, exponent: Double)]
    }

    private var exponents: [Exponents] {
        Initialization.allCases.flatMap { initialization in
            Self.quantities.map { name, value in
                var points: [UInt64: [(x: Double, y: Double)]] = [:]
                for width in widths {
                    for (seed, finding) in findings(initialization, width) {
                        guard let y = value(finding), y > 0 else { continue }
                        points[seed, default: []].append((log(Double(width)), log(y)))
                    }
                }
                return Exponents(
                    initialization: initialization, quantity: name,
                    bySeed: seeds.compactMap { seed in
                        Self.slope(points[seed] ?? []).map { (seed, $0) }
                    })
            }
        }
    }

    /// Least squares; nil of fewer than two points.
    private static func slope(_ points: [(x: Double, y: Double)]) -> Double? {
        guard points.count > 1 else { return nil }
        let (meanX, meanY) = (points.map { $0.x }.mean, points.map { $0.y }.mean)
        let products = points.reduce(0) { $0 + ($1.x - meanX) * ($1.y - meanY) }
        return products / points.reduce(0) { $0 + ($1.x - meanX) * ($1.x - meanX) }
    }

    /// The exponents, and where the grid was too small to hold what was looked for.
    var summary: [String] {
        let fits = exponents.filter { !$0.bySeed.isEmpty }.map { fit in
            let values = fit.bySeed.map { $0.exponent }
            return
                "\(fit.initialization.rawValue): \(fit.quantity) ∝ width^\(values.mean.text(digits: 3)) ± \(values.deviation.text(digits: 2))"
        }
        let atEdges = Initialization.allCases.flatMap { initialization in
            widths.flatMap { width in
                findings(initialization, width).compactMap { seed, finding -> String? in
                    let place = "\(initialization.rawValue), width \(width), seed \(seed)"
                    if finding.bestRate == rates.first || finding.bestRate == rates.last {
                        return "\(place): the best rate is at the edge of the grid; widen --lr"
                    }
                    return finding.stableRate == rates.last
                        ? "\(place): the largest rate is still stable; widen --lr" : nil
                }
            }
        }
        return fits + atEdges
    }

    // MARK: CSV

    /// Lines of every width, seed and initialisation.
    private func lines(
        _ head: String, _ body: (String, UInt64, [ToyRun]) -> [String]
    ) -> [String] {
        [head]
            + Initialization.allCases.flatMap { initialization in
                widths.flatMap { width in
                    zip(seeds, runs(initialization, width)).flatMap { seed, runs in
                        body("\(initialization.rawValue),\(width),\(seed)", seed, runs)
                    }
                }
            }
    }

    private var runLines: [String] {
        lines("init,width,seed,lr,first_loss,loss") { head, _, runs in
            zip(rates, runs).map { "\(head),\($0),\(($1.losses.first ?? .nan)),\($1.loss)" }
        }
    }

    private var rateLines: [String] {
        lines("init,width,seed,best_lr,stable_lr,steady_lr,loss,z_a,z_b") { head, _, runs in
            guard let found = Finding(runs, rates), let last = found.best.features.last else { return [] }
            let edges = [found.stableRate, found.steadyRate].map { $0.map { "\($0)" } ?? "" }
            return [
                "\(head),\(found.bestRate),\(edges[0]),\(edges[1]),\(found.best.loss),\(last.zA),\(last.zB)"
            ]
        }
    }

    private var featureLines: [String] {
        lines("init,width,seed,step,z_a,z_b") { head, _, runs in
            (Finding(runs, rates)?.best.features ?? []).map { "\(head),\($0.step),\($0.zA),\($0.zB)" }
        }
    }

    private var exponentLines: [String] {
        ["init,quantity,seed,exponent"]
            + exponents.flatMap { fit in
                fit.bySeed.map { "\(fit.initialization.rawValue),\(fit.quantity),\($0.seed),\($0.exponent)" }
            }
    }

    // MARK: Figures

    private func lossPlot(_ initialization: Initialization) -> SVGPlot {
        let first = runs.values.joined().joined().compactMap { $0.losses.first }.max() ?? 1
        return SVGPlot(
            title: "\(initialization.rawValue): loss against learning rate", xName: "learning rate",
            yName: "log₁₀ loss after \(steps) steps", isLogarithmic: true, mostY: log10(first) + 0.3,
            lines: widths.map { width in
                let bySeed = runs(initialization, width)
                let points = rates.indices.compactMap { rate -> SVGPlot.Point? in
                    let losses = bySeed.map { log10($0[rate].loss) }
                    return losses.allSatisfy(\.isFinite) ? SVGPlot.Point(x: rates[rate], of: losses) : nil
                }
                return SVGPlot.Line(
                    name: "width \(width)", points: points,
                    best: points.indices.min { points[$0].y < points[$1].y })
            })
    }

    private var ratePlot: SVGPlot {
        widthPlot(
            "Learning rates against width", "log₁₀ learning rate",
            [("best", { $0.bestRate }), ("stable", { $0.stableRate }), ("steady", { $0.steadyRate })])
    }

    private var featureWidthPlot: SVGPlot {
        widthPlot(
            "Features at the best learning rate, after \(steps) steps", "log₁₀ √(mean z²)",
            [("z_A", { $0.best.features.last?.zA }), ("z_B", { $0.best.features.last?.zB })])
    }

    private func widthPlot(
        _ title: String, _ yName: String, _ parts: [(name: String, value: (Finding) -> Double?)]
    ) -> SVGPlot {
        SVGPlot(
            title: title, xName: "width", yName: yName, isLogarithmic: true,
            lines: Initialization.allCases.flatMap { initialization in
                parts.map { name, value in
                    SVGPlot.Line(
                        name: "\(initialization.rawValue), \(name)",
                        points: widths.compactMap { width in
                            let values = findings(initialization, width).compactMap { value($0.finding) }
                            let logarithms = values.map { log10($0) }.filter(\.isFinite)
                            return logarithms.isEmpty ? nil : SVGPlot.Point(x: Double(width), of: logarithms)
                        })
                }
            })
    }

    /// Over the steps, at the smallest and the largest width.
    private var featurePlot: SVGPlot {
        let ends = [widths.min(), widths.max()].compactMap { $0 }
        return SVGPlot(
            title: "Features at the best learning rate", xName: "step", yName: "log₁₀ √(mean z²)",
            isLogarithmic: false,
            lines: Initialization.allCases.flatMap { initialization in
                (ends.first == ends.last ? Array(ends.prefix(1)) : ends).flatMap { width in
                    [("z_A", \ToyRun.Features.zA), ("z_B", \ToyRun.Features.zB)].map { name, part in
                        let runs = findings(initialization, width).map { $0.finding.best.features }
                        let points = (0..<(runs.map(\.count).min() ?? 0)).compactMap {
                            index -> SVGPlot.Point? in
                            let values = runs.map { log10($0[index][keyPath: part]) }
                            guard values.allSatisfy(\.isFinite) else { return nil }
                            return SVGPlot.Point(x: Double(runs[0][index].step), of: values)
                        }
                        return SVGPlot.Line(
                            name: "\(initialization.rawValue), \(name), width \(width)", points: points,
                            hasDots: points.count < 2)
                    }
                }
            })
    }
}

extension ToyRun {
    fileprivate var firstLoss: Double { losses.first ?? .nan }

    fileprivate var isSteady: Bool { !hasDiverged && losses.allSatisfy { $0 <= firstLoss } }

    /// The mean of the last tenth of the steps.
    fileprivate var loss: Double {
        if hasDiverged { return .infinity }
        return losses.suffix(max(1, losses.count / 10)).mean
    }
}
