// A line plot as SVG text: points with bands, a linear y axis, and an x axis that is linear or logarithmic.

package struct SVGPlot {
    package struct Point: Sendable {
        package var x: Double
        /// What the line goes through.
        package var y: Double
        /// The ends of the band.
        var low: Double
        var high: Double

        /// The mean of values, and from the least to the greatest of them.
        package init(x: Double, of values: [Double]) {
            (self.x, y) = (x, values.mean)
            (low, high) = (values.min() ?? 0, values.max() ?? 0)
        }
    }

    package struct Line: Sendable {
        package var name: String
        package var points: [Point]
        /// Where there is no y: drawn as crosses at the top.
        var missing: [Double] = []
        /// The point to mark.
        var best: Int?
        var hasDots = true

        package init(
            name: String, points: [Point], missing: [Double] = [], best: Int? = nil, hasDots: Bool = true
        ) {
            (self.name, self.points, self.missing) = (name, points, missing)
            (self.best, self.hasDots) = (best, hasDots)
        }
    }

    var title: String
    var xName: String
    var yName: String
    var isLogarithmic: Bool
    /// Larger values are drawn at the top edge.
    var mostY: Double = .infinity
    package var lines: [Line]

    package init(
        title: String, xName: String, yName: String, isLogarithmic: Bool, mostY: Double = .infinity,
        lines: [Line]
    ) {
        (self.title, self.xName, self.yName) = (title, xName, yName)
        (self.isLogarithmic, self.mostY, self.lines) = (isLogarithmic, mostY, lines)
    }

    private static let (width, height) = (760.0, 420.0)
    private static let (left, right, top, bottom) = (70.0, 20.0, 40.0, 50.0)
    /// Okabe and Ito's colours, which people of any colour vision can tell apart (the page's own for black), and the same ones dashed.
    private static let colours = [
        "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "currentColor",
    ]

    package var svg: String {
        let frame = Frame(self)
        var parts = [
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 \(Int(Self.width)) \(Int(Self.height + legendHeight))\" "
                + "font-family=\"sans-serif\" font-size=\"12\" role=\"img\">",
            "<title>\(title.escaped)</title>",
            text(Self.left, 22, title, size: 15),
        ]
        parts += axes(frame)
        for (index, line) in lines.enumerated() { parts += draw(line, index, frame) }
        return (parts + ["</svg>"]).joined(separator: "\n")
    }

    // MARK: Axes

    private struct Frame {
        var x: ClosedRange<Double>
        var y: ClosedRange<Double>
        let isLogarithmic: Bool

        init(_ plot: SVGPlot) {
            isLogarithmic = plot.isLogarithmic
            let points = plot.lines.flatMap(\.points)
            let xs = (points.map(\.x) + plot.lines.flatMap(\.missing)).map {
                plot.isLogarithmic ? decadic($0) : $0
            }
            let ys = points.flatMap { [$0.low, $0.high] }.map { min($0, plot.mostY) }.filter(\.isFinite)
            x = Self.widened(xs, by: 0.03)
            y = Self.widened(ys, by: 0.06)
        }

        /// Wide enough for its ends to be told apart as floating-point numbers.
        private static func widened(_ values: [Double], by share: Double) -> ClosedRange<Double> {
            let values = values.filter(\.isFinite).map { $0.clamped(to: -1e300...1e300) }
            let (low, high) = (values.min() ?? 0, values.max() ?? 1)
            let least = max(abs(low), abs(high), 1e-300) * 1e-9
            let margin = high > low ? max((high - low) * share, least) : max(0.5, least)
            return (low - margin)...(high + margin)
        }

        func left(_ value: Double) -> Double {
            let value = isLogarithmic ? decadic(value) : value
            let share = (value - x.lowerBound) / (x.upperBound - x.lowerBound)
            return SVGPlot.left + share * (SVGPlot.width - SVGPlot.left - SVGPlot.right)
        }

        func top(_ value: Double) -> Double {
            let share = (value.clamped(to: y) - y.lowerBound) / (y.upperBound - y.lowerBound)
            return SVGPlot.height - SVGPlot.bottom - share * (SVGPlot.height - SVGPlot.top - SVGPlot.bottom)
        }
    }

    private func axes(_ frame: Frame) -> [String] {
        let (right, bottom) = (Self.width - Self.right, Self.height - Self.bottom)
        var parts: [String] = []
        for y in Self.ticks(frame.y) {
            let at = frame.top(y)
            parts.append(
                "<path d=\"M\(Self.left) \(at.short)H\(right)\" stroke=\"currentColor\" stroke-opacity=\"0.15\"/>"
            )
            parts.append(text(Self.left - 6, at + 4, y.text(), anchor: "end"))
        }
        for x in xTicks(frame) {
            let at = frame.left(x)
            parts.append(
                "<path d=\"M\(at.short) \(Self.top)V\(bottom)\" stroke=\"currentColor\" stroke-opacity=\"0.15\"/>"
            )
            parts.append(text(at, bottom + 16, x.text(), anchor: "middle"))
        }
        parts.append(
            "<rect x=\"\(Self.left)\" y=\"\(Self.top)\" width=\"\(right - Self.left)\" height=\"\(bottom - Self.top)\" "
                + "fill=\"none\" stroke=\"currentColor\" stroke-opacity=\"0.5\"/>")
        parts.append(text((Self.left + right) / 2, bottom + 36, xName, anchor: "middle"))
        let middle = ((Self.top + bottom) / 2).short
        parts.append(
            "<text transform=\"translate(16 \(middle)) rotate(-90)\" text-anchor=\"middle\" fill=\"currentColor\">\(yName.escaped)</text>"
        )
        return parts
    }

    private func xTicks(_ frame: Frame) -> [Double] {
        guard isLogarithmic else { return Self.ticks(frame.x) }
        let decades = (Int(frame.x.lowerBound.rounded(.down))...Int(frame.x.upperBound.rounded(.up)))
        let factors = frame.x.upperBound - frame.x.lowerBound > 2 ? [1.0] : [1.0, 2, 5]
        return decades.flatMap { decade in factors.map { $0 * power(10, Double(decade)) } }
            .filter { frame.x.contains(decadic($0)) }
    }

    /// About six round numbers.
    private static func ticks(_ range: ClosedRange<Double>) -> [Double] {
        let rough = (range.upperBound - range.lowerBound) / 6
        let decade = power(10, decadic(rough).rounded(.down))
        let step = [1.0, 2, 5, 10].map { $0 * decade }.first { $0 >= rough } ?? 10 * decade
        guard let first = Int(exactly: (range.lowerBound / step).rounded(.up)),
            let last = Int(exactly: (range.upperBound / step).rounded(.down)), first <= last
        else { return [] }
        return (first...last).map { Double($0) * step }
    }

    // MARK: Lines

    private func draw(_ line: Line, _ index: Int, _ frame: Frame) -> [String] {
        let colour = Self.colours[index % Self.colours.count]
        let dash = index < Self.colours.count ? "" : " stroke-dasharray=\"6 3\""
        func path(_ points: [(Double, Double)]) -> String {
            points.map { "\(frame.left($0.0).short) \(frame.top($0.1).short)" }.joined(separator: "L")
        }
        var parts: [String] = []
        if line.points.count > 1 {
            let band =
                path(line.points.map { ($0.x, $0.high) }) + "L"
                + path(line.points.reversed().map { ($0.x, $0.low) })
            parts.append("<path d=\"M\(band)Z\" fill=\"\(colour)\" fill-opacity=\"0.15\"/>")
            parts.append(
                "<path d=\"M\(path(line.points.map { ($0.x, $0.y) }))\" fill=\"none\" stroke=\"\(colour)\" "
                    + "stroke-width=\"1.8\"\(dash)/>")
        }
        for (place, point) in line.points.enumerated() where line.hasDots {
            let (x, y) = (frame.left(point.x).short, frame.top(point.y).short)
            parts.append(
                "<circle cx=\"\(x)\" cy=\"\(y)\" r=\"3\" fill=\"\(colour)\">"
                    + "<title>\(line.name.escaped): \(point.x.text()), \(point.y.text(digits: 6))</title></circle>"
            )
            if place == line.best {
                parts.append(
                    "<circle class=\"best\" cx=\"\(x)\" cy=\"\(y)\" r=\"7\" fill=\"none\" stroke=\"\(colour)\" "
                        + "stroke-width=\"2\"/>")
            }
        }
        for x in line.missing {
            parts.append(
                text(
                    frame.left(x), Self.top + 12 + Double(index % 5) * 10, "×", anchor: "middle",
                    colour: colour))
        }
        let row = Self.height + 14 + Double(index) * 18
        parts.append(
            "<path d=\"M\(Self.left) \(row - 4)h26\" stroke=\"\(colour)\" stroke-width=\"2.5\"\(dash)/>")
        parts.append(text(Self.left + 34, row, line.name))
        return parts
    }

    private var legendHeight: Double { Double(lines.count) * 18 + 10 }

    private func text(
        _ x: Double, _ y: Double, _ content: String, anchor: String = "start", size: Int = 12,
        colour: String = "currentColor"
    ) -> String {
        "<text x=\"\(x.short)\" y=\"\(y.short)\" text-anchor=\"\(anchor)\" font-size=\"\(size)\" fill=\"\(colour)\">"
            + "\(content.escaped)</text>"
    }
}

extension Double {
    /// A tenth of a pixel is enough.
    fileprivate var short: String { "\((self * 10).rounded() / 10)" }

    func clamped(to range: ClosedRange<Double>) -> Double {
        Swift.min(Swift.max(self, range.lowerBound), range.upperBound)
    }
}
