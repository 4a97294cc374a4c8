// Sums, scaling, capping and activations against their f64 references, in every family.

import Kernels
import TestSupport
import Testing
import VulkanCompute

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

@Suite struct ElementwiseTests {
    /// Multiples of 4 about a workgroup's share (subgroup × 8 vec4) of 4 and of 8 lanes.
    static let counts = [0, 4, 28, 32, 36, 124, 128, 132, 252, 256, 260, 18_432]

    @Test(arguments: try FamilyRun.all(), counts)
    func sumsAndScaling(_ run: FamilyRun, _ count: Int) throws {
        var random = RandomValues(seed: 5)
        let (a, b) = (random.normal(count), random.normal(count))
        let (sum, scaled) = (try run.output([count]), try run.output([count]))
        let accumulated = try run.output(a, [count])
        let (aTensor, bTensor) = (try run.input(a, [count]), try run.input(b, [count]))
        try run.run {
            try $0.add(into: sum, aTensor, bTensor)
            try $0.scale(into: scaled, aTensor, by: 0.37)
            try $0.add(bTensor, scaledBy: -2.5, addingTo: accumulated)
        }
        #expect(try run.values(sum) == zip(a, b).map(+))
        #expect(try run.values(scaled) == a.map { $0 * 0.37 })
        let expected = zip(a.doubles, b.doubles).map { $0 - 2.5 * $1 }
        #expect(mismatch(try run.values(accumulated), expected, .float(roundings: 2, scale: 4)) == nil)
    }

    @Test(arguments: try FamilyRun.all(), counts)
    func capping(_ run: FamilyRun, _ count: Int) throws {
        var random = RandomValues(seed: 8)
        var x = random.normal(count, deviation: 20)
        let edges: [Float] = [0, 1e-6, -1e30, 1e30, .infinity, -.infinity, 5.99, 6.01, 1e-20, -4, 300, -300]
        for (i, edge) in zip(x.indices, edges) { x[i] = edge }
        let (y, tensor) = (try run.output([count]), try run.input(x, [count]))
        let inPlace = try run.output(x, [count])
        try run.run {
            try $0.cap(into: y, tensor, by: 30)
            try $0.cap(into: inPlace, inPlace, by: 30)
        }
        let expected = x.doubles.map { 30 * tanh($0 / 30) }
        for values in [y, inPlace] {
            // Relative to the last digits of the smallest numbers too.
            #expect(mismatch(try run.values(values), expected, .float(scale: 1e-30)) == nil)
        }
    }

    @Test(arguments: Shader.Activation.allCases)
    func referenceActivationBackwardIsTheGradient(_ function: Shader.Activation) {
        var random = RandomValues(seed: 6)
        let (x, gate, da) = (random.normal(8).doubles, random.normal(8).doubles, random.normal(8).doubles)
        let backward = ReferenceActivation.backward(function, da, x: x, gate: gate)
        let tolerance = Tolerance(absolute: 1e-9, relative: 1e-9)
        let dx = finiteDifference(at: x) {
            weightedSum(ReferenceActivation.forward(function, $0, gate: gate), da)
        }
        let dgate = finiteDifference(at: gate) {
            weightedSum(ReferenceActivation.forward(function, x, gate: $0), da)
        }
        #expect(mismatch(backward.dx, dx, tolerance) == nil)
        #expect(mismatch(backward.dgate, dgate, tolerance) == nil)
    }

    /// Values of x whose activations are where formulas overflow, change over or lose digits.
    private static let edges: [Float] = [
        0, -0.0, 100, -100, 1e4, -1e4, 88, -88, 16, -16, 15.9, -5.5, 1e-3, -1e-3, 1e18, -1e18,
    ]

    @Test(arguments: try FamilyRun.all(), counts)
    func gatedActivations(_ run: FamilyRun, _ count: Int) throws {
        for function in Shader.Activation.allCases {
            var random = RandomValues(seed: 7)
            var x = random.normal(count, deviation: 4)
            var gate = random.normal(count)
            let da = random.normal(count)
            for (i, edge) in zip(x.indices, Self.edges) { x[i] = edge }
            for (i, edge) in zip(gate.indices.reversed(), [8, -8, 7.01, -7.01, 6.99] as [Float]) {
                gate[i] = edge
            }

            let (a, dx, dgate) = (try run.output([count]), try run.output([count]), try run.output([count]))
            // In place: the gradients replace what they are computed from.
            let (xInPlace, gateInPlace, daInPlace) = (
                try run.output(x, [count]), try run.output(gate, [count]), try run.output(da, [count])
            )
            let again = try run.output([count])
            let (xTensor, gateTensor, daTensor) = (
                try run.input(x, [count]), try run.input(gate, [count]), try run.input(da, [count])
            )
            try run.run {
                try $0.activation(function, into: a, xTensor, times: gateTensor)
                try $0.activationBackward(
                    function, intoX: dx, gate: dgate, activation: again, daTensor, x: xTensor,
                    gate: gateTensor)
                try $0.activationBackward(
                    function, intoX: xInPlace, gate: gateInPlace, activation: daInPlace, daInPlace,
                    x: xInPlace, gate: gateInPlace)
            }
            let expected = ReferenceActivation.forward(function, x.doubles, gate: gate.doubles)
            let backward = ReferenceActivation.backward(
                function, da.doubles, x: x.doubles, gate: gate.doubles)
            for (outputs, expected, scale) in [
                ([a, again, daInPlace], expected, 1.0), ([dx, xInPlace], backward.dx, 4.0),
                ([dgate, gateInPlace], backward.dgate, 1.0),
            ] {
                for output in outputs {
                    let wrong = mismatch(try run.values(output), expected, .float(scale: scale))
                    #expect(wrong == nil, "\(function): \(wrong ?? "")")
                }
            }
        }
    }

    @Test(arguments: try FamilyRun.all(), [0, 36, 18_432])
    func activationsAlone(_ run: FamilyRun, _ count: Int) throws {
        for function in Shader.Activation.allCases where function != .clamped {
            var random = RandomValues(seed: 8)
            var x = random.normal(count, deviation: 4)
            let da = random.normal(count)
            for (i, edge) in zip(x.indices, Self.edges) { x[i] = edge }
            let a = try run.output([count])
            let (dx, again) = (try run.output(x, [count]), try run.output(da, [count]))
            let xTensor = try run.input(x, [count])
            try run.run {
                try $0.activation(function, into: a, xTensor)
                try $0.activationBackward(function, intoX: dx, activation: again, again, x: dx)
            }
            let ones = [Double](repeating: 1, count: count)
            let expected = ReferenceActivation.forward(function, x.doubles, gate: ones)
            let gradient = ReferenceActivation.backward(function, da.doubles, x: x.doubles, gate: ones).dx
            for (output, expected, scale) in [(a, expected, 1.0), (again, expected, 1), (dx, gradient, 4)] {
                let wrong = mismatch(try run.values(output), expected, .float(scale: scale))
                #expect(wrong == nil, "\(function): \(wrong ?? "")")
            }
        }
    }
}
