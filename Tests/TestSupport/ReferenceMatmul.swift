// Matrix products in f64, plain loops over row-major arrays, and a LoRA layer's backward built from them; weights as a
// file stores them, with the values that those bytes mean.

import Kernels
import VulkanCompute

package struct Matrix: Sendable {
    package let rows: Int
    package let columns: Int
    package var values: [Double]

    package init(_ rows: Int, _ columns: Int, _ values: [Double]) {
        precondition(values.count == rows * columns, "\(values.count) values for (\(rows), \(columns))")
        (self.rows, self.columns, self.values) = (rows, columns, values)
    }

    package init(_ rows: Int, _ columns: Int, _ values: [Float]) { self.init(rows, columns, values.doubles) }

    package var floats: [Float] { values.map { Float($0) } }

    package var transposed: Matrix {
        var turned = [Double](repeating: 0, count: values.count)
        for r in 0..<rows { for c in 0..<columns { turned[c * rows + r] = values[r * columns + c] } }
        return Matrix(columns, rows, turned)
    }

    package static func * (a: Matrix, b: Matrix) -> Matrix {
        precondition(a.columns == b.rows, "(\(a.rows), \(a.columns)) · (\(b.rows), \(b.columns))")
        var product = [Double](repeating: 0, count: a.rows * b.columns)
        for m in 0..<a.rows {
            for k in 0..<a.columns {
                let s = a.values[m * a.columns + k]
                for n in 0..<b.columns { product[m * b.columns + n] += s * b.values[k * b.columns + n] }
            }
        }
        return Matrix(a.rows, b.columns, product)
    }

    package static func * (s: Double, a: Matrix) -> Matrix {
        Matrix(a.rows, a.columns, a.values.map { s * $0 })
    }

    package static func + (a: Matrix, b: Matrix) -> Matrix {
        Matrix(a.rows, a.columns, zip(a.values, b.values).map { $0 + $1 })
    }
}

/// y = x·Wᵀ + s·(x·Aᵀ)·Bᵀ
package struct ReferenceLoRALinear {
    package var weight: Matrix  // (out, in)
    package var loraA: Matrix  // (R, in)
    package var loraB: Matrix  // (out, R)
    package var scaling: Double

    package init(weight: Matrix, loraA: Matrix, loraB: Matrix, scaling: Double) {
        (self.weight, self.loraA, self.loraB, self.scaling) = (weight, loraA, loraB, scaling)
    }

    package func forward(_ x: Matrix) -> Matrix {
        x * weight.transposed + (scaling * (x * loraA.transposed)) * loraB.transposed
    }

    package func backward(_ dy: Matrix, x: Matrix) -> (dx: Matrix, dA: Matrix, dB: Matrix) {
        let h = scaling * (x * loraA.transposed)
        let g = scaling * (dy * loraB)
        return (dy * weight + g * loraA, g.transposed * x, dy.transposed * h)
    }
}

/// A random weight as the rows of a file, and what they mean.
package struct ReferenceWeight {
    package let type: Shader.Weight
    package private(set) var bytes: [UInt8] = []
    package private(set) var matrix: Matrix

    package init(_ type: Shader.Weight, rows: Int, columns: Int, random: inout RandomValues) {
        self.type = type
        matrix = Matrix(rows, columns, [Double](repeating: 0, count: rows * columns))
        var values: [Double] = []
        for _ in 0..<(rows * columns / (type.blockLength)) {
            values += appendBlock(&random)
        }
        matrix.values = values
    }

    /// One number, or one block: its bytes are appended, its values returned.
    private mutating func appendBlock(_ random: inout RandomValues) -> [Double] {
        func half(_ value: Float) -> (bits: UInt16, value: Double) {
            let half = Float16(value)
            return (half.bitPattern, Double(half))
        }
        func append(_ bits: UInt16) {
            bytes += [UInt8(truncatingIfNeeded: bits), UInt8(truncatingIfNeeded: bits >> 8)]
        }
        let value = random.normal(1, deviation: 0.5)[0]
        switch type {
        case .f32:
            withUnsafeBytes(of: value.bitPattern) { bytes += Array($0) }
            return [Double(value)]
        case .f16:
            let value = half(value)
            append(value.bits)
            return [value.value]
        case .bf16:
            let bits = UInt16(truncatingIfNeeded: value.bitPattern >> 16)
            append(bits)
            return [Double(Float(bitPattern: UInt32(bits) << 16))]
        case .q8_0:
            let d = half(value / 127)
            append(d.bits)
            let quants = (0..<32).map { _ in Int8.random(in: .min ... .max, using: &random) }
            bytes += quants.map { UInt8(bitPattern: $0) }
            return quants.map { d.value * Double($0) }
        case .q4_0, .q4_1:
            let d = half(value / 8)
            let m = half(random.normal(1, deviation: 0.5)[0])
            append(d.bits)
            if type == .q4_1 { append(m.bits) }
            let pairs = (0..<16).map { _ in UInt8.random(in: 0...255, using: &random) }
            bytes += pairs
            let quants = pairs.map { Double($0 & 15) } + pairs.map { Double($0 >> 4) }
            return quants.map { type == .q4_1 ? d.value * $0 + m.value : d.value * ($0 - 8) }
        case .mxfp4:
            let e = UInt8.random(in: 118...127, using: &random)
            let pairs = (0..<16).map { _ in UInt8.random(in: 0...255, using: &random) }
            bytes += [e] + pairs
            let numbers = [0, 0.5, 1, 1.5, 2, 3, 4, 6]
            return (pairs.map { $0 & 15 } + pairs.map { $0 >> 4 }).map { q in
                Double(sign: q < 8 ? .plus : .minus, exponent: Int(e) - 127, significand: numbers[Int(q & 7)])
            }
        case .q4_k, .q5_k, .q6_k:
            let block = ReferenceKQuants(type, deviation: 0.5, random: &random)
            bytes += block.bytes
            return block.values
        }
    }
}

extension Shader.Weight {
    fileprivate var blockLength: Int {
        switch self {
        case .f32, .f16, .bf16: 1
        case .q8_0, .q4_0, .q4_1, .mxfp4: 32
        case .q4_k, .q5_k, .q6_k: 256
        }
    }
}
