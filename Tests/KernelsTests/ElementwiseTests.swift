// Sums, scaling and SwiGLU against their f64 references, in every family.

import Kernels
import TestSupport
import Testing

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

    @Test func swiGLUReferenceBackwardIsTheGradient() {
        var random = RandomValues(seed: 6)
        let (gate, up, da) = (random.normal(8).doubles, random.normal(8).doubles, random.normal(8).doubles)
        let backward = ReferenceSwiGLU.backward(da, gate: gate, up: up)
        let tolerance = Tolerance(absolute: 1e-9, relative: 1e-9)
        let dgate = finiteDifference(at: gate) { weightedSum(ReferenceSwiGLU.forward(gate: $0, up: up), da) }
        let dup = finiteDifference(at: up) { weightedSum(ReferenceSwiGLU.forward(gate: gate, up: $0), da) }
        #expect(mismatch(backward.dgate, dgate, tolerance) == nil)
        #expect(mismatch(backward.dup, dup, tolerance) == nil)
    }

    @Test(arguments: try FamilyRun.all(), counts)
    func swiGLU(_ run: FamilyRun, _ count: Int) throws {
        var random = RandomValues(seed: 7)
        var gate = random.normal(count, deviation: 4)
        let (up, da) = (random.normal(count), random.normal(count))
        for (i, extreme) in zip(gate.indices, [0, -0.0, 100, -100, 1e4, -1e4, 88, -88] as [Float]) {
            gate[i] = extreme
        }

        let (a, dgate, dup) = (try run.output([count]), try run.output([count]), try run.output([count]))
        // In place: the gradients replace what they are computed from.
        let (gateInPlace, upInPlace, daInPlace) = (
            try run.output(gate, [count]), try run.output(up, [count]), try run.output(da, [count])
        )
        let again = try run.output([count])
        let (gateTensor, upTensor, daTensor) = (
            try run.input(gate, [count]), try run.input(up, [count]), try run.input(da, [count])
        )
        try run.run {
            try $0.swiGLU(into: a, gate: gateTensor, up: upTensor)
            try $0.swiGLUBackward(
                intoGate: dgate, up: dup, activation: again, daTensor, gate: gateTensor, up: upTensor)
            try $0.swiGLUBackward(
                intoGate: gateInPlace, up: upInPlace, activation: daInPlace, daInPlace, gate: gateInPlace,
                up: upInPlace)
        }
        let expected = ReferenceSwiGLU.forward(gate: gate.doubles, up: up.doubles)
        let backward = ReferenceSwiGLU.backward(da.doubles, gate: gate.doubles, up: up.doubles)
        for activation in [a, again, daInPlace] {
            #expect(mismatch(try run.values(activation), expected, .float()) == nil)
        }
        for gradient in [dgate, gateInPlace] {
            #expect(mismatch(try run.values(gradient), backward.dgate, .float(scale: 4)) == nil)
        }
        for gradient in [dup, upInPlace] {
            #expect(mismatch(try run.values(gradient), backward.dup, .float()) == nil)
        }
    }
}
