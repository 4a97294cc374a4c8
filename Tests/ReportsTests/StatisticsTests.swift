// Student's t against published tables, and the two things that are made of it.

import Foundation
import Reports
import Testing

@Suite struct StatisticsTests {
    /// From tables of the t distribution.
    @Test(arguments: [
        (1.0, 0.975, 12.7062), (2, 0.975, 4.30265), (4, 0.975, 2.77645), (9, 0.975, 2.26216),
        (29, 0.975, 2.04523), (1000, 0.975, 1.96234), (4, 0.995, 4.60409), (1, 0.95, 6.31375),
    ])
    func quantiles(freedom: Double, share: Double, t: Double) {
        let found = StudentT(freedom: freedom).quantile(share)
        #expect(abs(found - t) < 1e-5 * t, "\(found)")
    }

    /// For one degree of freedom it is Cauchy's distribution, for two algebraic.
    @Test(arguments: [0.0, 0.3, 1, 2.5, 40, 1e4])
    func tails(t: Double) {
        let cauchy = StudentT(freedom: 1).tail(t)
        #expect(abs(cauchy - atan(1 / t) / .pi) < 1e-12 || t == 0 && abs(cauchy - 0.5) < 1e-12)
        let two = StudentT(freedom: 2).tail(t)
        let exact = 1 / ((2 + t * t) + t * (2 + t * t).squareRoot())
        #expect(abs(two - exact) < 1e-11 * max(exact, 1e-3))
    }

    @Test func intervalsAndTests() {
        let values = [1.0, 2, 3, 4, 5]
        #expect(abs((values.halfInterval ?? 0) - 1.963243) < 1e-5)
        #expect(abs((values.pOfZeroMean ?? 0) - 0.0132357) < 1e-5, "t = 4.2426 of 4 degrees of freedom")
        #expect([1.0].halfInterval == nil && [Double]().halfInterval == nil)
        #expect([2.0, 2].pOfZeroMean == nil && [2.0, 2].halfInterval == 0)
    }
}
