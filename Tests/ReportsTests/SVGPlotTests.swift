// What a figure shows of lines that lie over one another, of shares, and under the pointer.

import Foundation
import Reports
import Testing

@Suite struct SVGPlotTests {
    private func plot(_ lines: [(String, [Double])]) -> SVGPlot {
        SVGPlot(
            title: "t", xName: "step", yName: "loss", isLogarithmic: false,
            lines: lines.map { name, values in
                SVGPlot.Line(
                    name: name, points: values.enumerated().map { .init(x: Double($0 + 1), of: [$1]) })
            })
    }

    @Test func aLineOverAnotherHasGaps() {
        #expect(!plot([("a", [1, 2, 3]), ("b", [3, 2, 1])]).svg.contains("stroke-dasharray"))
        let same = plot([("a", [1, 2, 3]), ("b", [1, 2, 3]), ("c", [1, 2, 3])]).svg
        #expect(same.contains("stroke-dasharray=\"10 10\"") && same.contains("stroke-dasharray=\"5 10\""))
    }

    @Test func theValuesOfAllLinesAreUnderThePointer() {
        let svg = plot([("a", [1, 2]), ("b<", [1.5, 2])]).svg
        #expect(svg.contains("<title>step 1\na: 1\nb&lt;: 1.5</title>"))
        #expect(svg.contains("<title>step 2\na: 2\nb&lt;: 2</title>"))
        let long = plot([("a", (0..<5000).map(Double.init))]).svg
        #expect(long.components(separatedBy: "fill=\"transparent\"").count < 130)
    }

    @Test func sharesStayBetweenTheirBounds() {
        var plot = plot([("a", [0, 0, 0])])
        #expect(plot.svg.contains(">-0.4</text>"))
        plot.bounds = 0...1
        #expect(!plot.svg.contains(">-0") && plot.svg.contains(">0</text>"))
    }
}
