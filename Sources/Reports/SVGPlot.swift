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
        package var missing: [Double] = []
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
    /// What y can be at all: the axis does not go beyond.
    package var bounds: ClosedRange<Double>?
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
    /// Okabe and Ito's colours, which people of any colour vision can tell apart (the page's own for black).
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
        parts += strips(frame)
        return (parts + ["</svg>"]).joined(separator: "\n")
    }

    /// For a page: on a narrow screen it is shifted rather than too small to be read.
    package var figure: String { "<div class=\"wide\">\(svg)</div>" }

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
            let y = Self.widened(ys, by: 0.06)
            self.y = plot.bounds.map { $0.overlaps(y) ? y.clamped(to: $0) : $0 } ?? y
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
        let dash = dash(index, frame)
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
            let (x, y) = (frame.left(point.x), frame.top(point.y))
            parts.append(Self.marker(index, x, y, colour))
            if place == line.best {
                parts.append(
                    "<circle class=\"best\" cx=\"\(x.short)\" cy=\"\(y.short)\" r=\"7\" fill=\"none\" stroke=\"\(colour)\" "
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

    /// A line that lies over an earlier one has gaps in which that is seen; a second turn of the colours is dashed.
    private func dash(_ index: Int, _ frame: Frame) -> String {
        let points = lines[index].points
        let hidden = lines[..<index].count { other in
            let tops = Dictionary(other.points.map { ($0.x, frame.top($0.y)) }) { $1 }
            let near = points.count { point in tops[point.x].map { abs($0 - frame.top(point.y)) < 2 } ?? false
            }
            return near > 0 && 2 * near >= points.count
        }
        if hidden > 0 { return " stroke-dasharray=\"\(max(2, 10 / hidden)) 10\"" }
        return index < Self.colours.count ? "" : " stroke-dasharray=\"6 3\""
    }

    /// A shape a line, since colours lie over one another.
    private static func marker(_ index: Int, _ x: Double, _ y: Double, _ colour: String) -> String {
        let shapes = ["", "M-3 -3h6v6h-6Z", "M0 -4.2L4.2 0L0 4.2L-4.2 0Z", "M0 -4L4 3H-4Z", "M0 4L4 -3H-4Z"]
        let shape = shapes[index % shapes.count]
        return shape.isEmpty
            ? "<circle cx=\"\(x.short)\" cy=\"\(y.short)\" r=\"3\" fill=\"\(colour)\"/>"
            : "<path d=\"\(shape)\" transform=\"translate(\(x.short) \(y.short))\" fill=\"\(colour)\"/>"
    }

    // MARK: Numbers under the pointer

    private static let mostStrips = 120

    /// A strip around an x tells all lines' values there, so that none hides another's.
    private func strips(_ frame: Frame) -> [String] {
        var xs = Set(lines.flatMap(\.points).map(\.x)).filter { frame.left($0).isFinite }.sorted()
        let every = (xs.count + Self.mostStrips - 1) / Self.mostStrips
        if every > 1 { xs = stride(from: 0, to: xs.count, by: every).map { xs[$0] } }
        let values = lines.map { line in Dictionary(line.points.map { ($0.x, $0) }) { $1 } }
        let (least, most) = (Self.left, Self.width - Self.right)
        return xs.indices.map { index in
            let x = xs[index]
            let start = index == 0 ? least : (frame.left(xs[index - 1]) + frame.left(x)) / 2
            let end = index + 1 == xs.count ? most : (frame.left(x) + frame.left(xs[index + 1])) / 2
            let told = zip(lines, values).compactMap { line, values in
                values[x].map { point in
                    let band = point.low < point.high ? " (\(point.low.text()) to \(point.high.text()))" : ""
                    return "\(line.name): \(point.y.text(digits: 6))\(band)"
                }
            }
            let title = (["\(xName) \(x.text(digits: 6))"] + told).joined(separator: "\n")
            return "<rect x=\"\(start.short)\" y=\"\(Self.top)\" width=\"\(max(0, end - start).short)\" "
                + "height=\"\(Self.height - Self.top - Self.bottom)\" fill=\"transparent\"><title>\(title.escaped)</title></rect>"
        }
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
