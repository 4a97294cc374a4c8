// A small Llama with LoRA in f64 on the host, written as plainly as the formulas: what a device's results are held against.
//   m = x + o(attention(rope(q(n)), rope(k(n)), v(n))),   n = rms(x)
//   y = m + down(silu(gate(n))·up(n)),                     n = rms(m)
//   linear(x) = x·Wᵀ + s·(x·Aᵀ)·Bᵀ

import Checkpoints

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

struct ReferenceLlama {
    /// (out, in), kept as (in, out), so that a product runs along its rows.
    struct Matrix {
        let outputs: Int
        let inputs: Int
        private let transposed: [Double]

        init(_ values: [Double], outputs: Int, inputs: Int) {
            (self.outputs, self.inputs) = (outputs, inputs)
            var transposed = [Double](repeating: 0, count: values.count)
            for row in 0..<outputs {
                for column in 0..<inputs {
                    transposed[column * outputs + row] = values[row * inputs + column]
                }
            }
            self.transposed = transposed
        }

        /// y = x·Wᵀ of one row.
        func applied(to x: [Double]) -> [Double] {
            [Double](unsafeUninitializedCapacity: outputs) { y, count in
                y.initialize(repeating: 0)
                transposed.withUnsafeBufferPointer { w in
                    for column in 0..<inputs {
                        let (factor, start) = (x[column], column * outputs)
                        for row in 0..<outputs { y[row] += factor * w[start + row] }
                    }
                }
                count = outputs
            }
        }

        /// x of one row as the sum of the rows that it picks: a table's row.
        func row(_ index: Int) -> [Double] { (0..<inputs).map { transposed[$0 * outputs + index] } }
    }

    struct LoRA {
        var a: [Double]  // (R, in)
        var b: [Double]  // (out, R)
        let scaling: Double
        let rank: Int
    }

    private let heads: Int
    private let kvHeads: Int
    private let headSize: Int
    private let layers: Int
    private let epsilon: Double
    private let base: Double
    private let matrices: [String: Matrix]
    private let norms: [String: [Double]]

    /// Weights as the file has them.
    init(_ checkpoint: Checkpoint, heads: Int, kvHeads: Int, epsilon: Double, base: Double) throws(FileError)
    {
        (self.heads, self.kvHeads, self.epsilon, self.base) = (heads, kvHeads, epsilon, base)
        headSize = checkpoint.spec.width / heads
        layers = checkpoint.spec.blocks.count
        var (matrices, norms) = ([String: Matrix](), [String: [Double]]())
        for tensor in checkpoint.tensors {
            let name = String(tensor.name.dropLast(".weight".count))
            let values = try tensor.floats(rows: 0..<tensor.rows).map(Double.init)
            if tensor.shape.count == 1 {
                norms[name] = values
            } else {
                matrices[name] = Matrix(values, outputs: tensor.shape[0], inputs: tensor.shape[1])
            }
        }
        (self.matrices, self.norms) = (matrices, norms)
    }

    /// Logits (T, V) of one sequence.
    func logits(_ tokens: [Int32], _ lora: [String: LoRA]) -> [[Double]] {
        let adapters = lora.mapValues {
            (
                a: Matrix($0.a, outputs: $0.rank, inputs: $0.a.count / $0.rank),
                b: Matrix($0.b, outputs: $0.b.count / $0.rank, inputs: $0.rank), scaling: $0.scaling
            )
        }
        func linear(_ name: String, _ x: [[Double]]) -> [[Double]] {
            guard let w = matrices[name] else { preconditionFailure("no matrix '\(name)'") }
            return x.map { x in
                let y = w.applied(to: x)
                guard let lora = adapters[name] else { return y }
                let term = lora.b.applied(to: lora.a.applied(to: x))
                return zip(y, term).map { $0 + lora.scaling * $1 }
            }
        }
        func normed(_ name: String, _ x: [[Double]]) -> [[Double]] {
            guard let weight = norms[name] else { preconditionFailure("no norm '\(name)'") }
            return x.map { x in
                let mean = x.reduce(0) { $0 + $1 * $1 } / Double(x.count)
                let scale = 1 / (mean + epsilon).squareRoot()
                return zip(x, weight).map { $0 * scale * $1 }
            }
        }
        guard let table = matrices["model.embed_tokens"] else { preconditionFailure("no embedding") }
        var x = tokens.map { table.row(Int($0)) }
        for layer in 0..<layers {
            let block = "model.layers.\(layer)."
            var n = normed(block + "input_layernorm", x)
            let attended = attention(
                rotated(linear(block + "self_attn.q_proj", n)),
                rotated(linear(block + "self_attn.k_proj", n)),
                linear(block + "self_attn.v_proj", n))
            x = sum(x, linear(block + "self_attn.o_proj", attended))
            n = normed(block + "post_attention_layernorm", x)
            let (gate, up) = (linear(block + "mlp.gate_proj", n), linear(block + "mlp.up_proj", n))
            let gated = zip(gate, up).map { zip($0, $1).map { $0 / (1 + exp(-$0)) * $1 } }
            x = sum(x, linear(block + "mlp.down_proj", gated))
        }
        return normed("model.norm", x).map { table.applied(to: $0) }
    }

    /// Σ −log p(label) over the labels that are not negative; label t belongs to the logits of t − 1.
    func loss(_ example: Example, _ lora: [String: LoRA]) -> Double {
        let logits = logits(example.tokens, lora)
        var loss = 0.0
        for t in 1..<example.tokens.count where example.labels[t] >= 0 {
            let row = logits[t - 1]
            let largest = row.max() ?? 0
            loss += log(row.reduce(0) { $0 + exp($1 - largest) }) + largest - row[Int(example.labels[t])]
        }
        return loss
    }

    private func sum(_ a: [[Double]], _ b: [[Double]]) -> [[Double]] {
        zip(a, b).map { zip($0, $1).map { $0 + $1 } }
    }

    /// Pairs (j, j + D/2) of every head turn by t·base^(−2j/D).
    private func rotated(_ x: [[Double]]) -> [[Double]] {
        x.enumerated().map { t, row in
            var turned = row
            let half = headSize / 2
            for start in stride(from: 0, to: row.count, by: headSize) {
                for j in 0..<half {
                    let angle = Double(t) * pow(base, -2 * Double(j) / Double(headSize))
                    let (a, b) = (row[start + j], row[start + j + half])
                    turned[start + j] = a * cos(angle) - b * sin(angle)
                    turned[start + j + half] = b * cos(angle) + a * sin(angle)
                }
            }
            return turned
        }
    }

    private func attention(_ q: [[Double]], _ k: [[Double]], _ v: [[Double]]) -> [[Double]] {
        let scale = 1 / Double(headSize).squareRoot()
        return q.indices.map { t in
            var row = [Double](repeating: 0, count: heads * headSize)
            for head in 0..<heads {
                let (start, source) = (head * headSize, head / (heads / kvHeads) * headSize)
                let scores = (0...t).map { s in
                    (0..<headSize).reduce(0) { $0 + q[t][start + $1] * k[s][source + $1] } * scale
                }
                let largest = scores.max() ?? 0
                let weights = scores.map { exp($0 - largest) }
                let total = weights.reduce(0, +)
                for (s, weight) in weights.enumerated() {
                    for d in 0..<headSize { row[start + d] += weight / total * v[s][source + d] }
                }
            }
            return row
        }
    }
}
