// Norms, cross-entropy and attention of loravk.h.

import CLoRAVK
import Kernels
import VulkanCompute

// MARK: RMSNorm

@c @implementation public func loravk_rms_norm_forward(
    _ y: OpaquePointer!, _ rstd: OpaquePointer!, _ x: OpaquePointer!, _ weight: OpaquePointer!,
    _ epsilon: Float
) -> loravk_status {
    call {
        let (y, rstd) = (try tensorObject(y, "y"), try tensorObject(rstd, "rstd"))
        let (x, weight) = (try tensorObject(x, "x"), try tensorObject(weight, "weight"))
        try operate(on: y, rstd, x, weight) {
            guard epsilon >= 0, epsilon.isFinite else {
                throw APIError.argument("epsilon is \(epsilon); it must be 0 or a small positive number")
            }
            try checkNorm([(y, "y"), (x, "x")], weight, rstd)
            try y.requireDistinct(from: [(x, "x"), (weight, "weight"), (rstd, "rstd")], "y")
            try rstd.requireDistinct(from: [(x, "x"), (weight, "weight")], "rstd")
        } _: { encoder in
            guard x.count > 0 else { return }
            try encoder.rmsNorm(
                into: y.tensor, rstd: rstd.column, x.tensor, weight: weight.column, epsilon: epsilon)
        }
    }
}

@c @implementation public func loravk_rms_norm_backward(
    _ dx: OpaquePointer!, _ dy: OpaquePointer!, _ x: OpaquePointer!, _ weight: OpaquePointer!,
    _ rstd: OpaquePointer!, _ accumulate: Bool
) -> loravk_status {
    call {
        let (dx, dy, x) = (try tensorObject(dx, "dx"), try tensorObject(dy, "dy"), try tensorObject(x, "x"))
        let (weight, rstd) = (try tensorObject(weight, "weight"), try tensorObject(rstd, "rstd"))
        try operate(on: dx, dy, x, weight, rstd) {
            try checkNorm([(dx, "dx"), (dy, "dy"), (x, "x")], weight, rstd)
            try dx.requireDistinct(from: [(dy, "dy"), (x, "x"), (weight, "weight"), (rstd, "rstd")], "dx")
        } _: { encoder in
            guard x.count > 0 else { return }
            let (norm, statistics) = (weight.column, rstd.column)
            if accumulate {
                try encoder.rmsNormBackward(
                    addingTo: dx.tensor, dy.tensor, x: x.tensor, weight: norm, rstd: statistics)
            } else {
                try encoder.rmsNormBackward(
                    into: dx.tensor, dy.tensor, x: x.tensor, weight: norm, rstd: statistics)
            }
        }
    }
}

private func checkNorm(
    _ matrices: [(TensorObject, String)], _ weight: TensorObject, _ rstd: TensorObject
) throws {
    let (first, _) = matrices[0]
    for (tensor, name) in matrices {
        try tensor.require(.f32, name)
        try tensor.require(rows: first.rows, width: first.width, name)
        try tensor.requireWidthInFours(name)
    }
    try weight.require(.f32, "weight")
    try weight.require(count: first.width, "weight")
    try rstd.require(.f32, "rstd")
    try rstd.require(count: first.rows, "rstd")
    try rstd.requireOneBinding("rstd")
}

// MARK: Cross-entropy

@c @implementation public func loravk_cross_entropy_forward(
    _ losses: OpaquePointer!, _ logits: OpaquePointer!, _ labels: OpaquePointer!
) -> loravk_status {
    call {
        let losses = try tensorObject(losses, "losses")
        let logits = try tensorObject(logits, "logits")
        let labels = try tensorObject(labels, "labels")
        try operate(on: losses, logits, labels) {
            try checkCrossEntropy(losses, logits, labels)
        } _: { encoder in
            guard logits.count > 0 else { return try encoder.fill(losses.storage) }
            let correct = try logits.context.device.makeTensor([logits.rows], dtype: .i32, label: "correct")
            try encoder.crossEntropy(
                into: losses.column, correct: correct, logits.tensor, labels: labels.column,
                columns: logits.width)
        }
    }
}

@c @implementation public func loravk_cross_entropy_backward(
    _ dlogits: OpaquePointer!, _ losses: OpaquePointer!, _ logits: OpaquePointer!, _ labels: OpaquePointer!,
    _ scale: Float
) -> loravk_status {
    call {
        let (dlogits, losses) = (try tensorObject(dlogits, "dlogits"), try tensorObject(losses, "losses"))
        let (logits, labels) = (try tensorObject(logits, "logits"), try tensorObject(labels, "labels"))
        try operate(on: dlogits, losses, logits, labels) {
            try finite(scale, "scale")
            try checkCrossEntropy(losses, logits, labels)
            try dlogits.require(.f32, "dlogits")
            try dlogits.require(rows: logits.rows, width: logits.width, "dlogits")
            try losses.requireDistinct(from: [(dlogits, "dlogits")], "losses")
        } _: { encoder in
            guard logits.count > 0 else { return try encoder.fill(losses.storage) }
            var state = StepState()
            state.lossScale = scale
            let stateSlice = try logits.context.device.makeStepState()
            try logits.context.device.upload([state], into: stateSlice)
            if dlogits !== logits { try encoder.copy(into: dlogits.storage, from: logits.storage) }
            try encoder.crossEntropy(
                into: losses.column, gradientInPlaceOf: dlogits.tensor, labels: labels.column,
                columns: logits.width, state: stateSlice)
        }
    }
}

private func checkCrossEntropy(
    _ losses: TensorObject, _ logits: TensorObject, _ labels: TensorObject
) throws {
    try losses.require(.f32, "losses")
    try logits.require(.f32, "logits")
    try labels.require(.i32, "labels")
    try losses.require(count: logits.rows, "losses")
    try labels.require(count: logits.rows, "labels")
    try logits.requireWidthInFours("logits")
    try losses.requireDistinct(from: [(logits, "logits")], "losses")
    for (tensor, name) in [(losses, "losses"), (labels, "labels")] { try tensor.requireOneBinding(name) }
}

// MARK: Attention

@c @implementation public func loravk_attention_forward(
    _ out: OpaquePointer!, _ lse: OpaquePointer!, _ q: OpaquePointer!, _ k: OpaquePointer!,
    _ v: OpaquePointer!,
    _ config: UnsafePointer<loravk_attention_config>!
) -> loravk_status {
    call {
        let (out, lse) = (try tensorObject(out, "out"), try tensorObject(lse, "lse"))
        let attention = try Attention(q, k, v, config)
        try operate(on: out, lse, attention.q, attention.k, attention.v) {
            try attention.check(queries: [(out, "out")], keys: [], columns: [(lse, "lse")])
            try attention.requireDistinct([(out, "out"), (lse, "lse")])
        } _: { encoder in
            guard attention.q.rows > 0 else { return }
            try encoder.attention(
                into: out.tensor, lse: lse.tensor, q: attention.q.tensor, k: attention.k.tensor,
                v: attention.v.tensor, spans: try attention.spans(), shape: attention.shape)
        }
    }
}

@c @implementation public func loravk_attention_backward(
    _ dq: OpaquePointer!, _ dk: OpaquePointer!, _ dv: OpaquePointer!, _ dout: OpaquePointer!,
    _ out: OpaquePointer!, _ lse: OpaquePointer!, _ q: OpaquePointer!, _ k: OpaquePointer!,
    _ v: OpaquePointer!,
    _ config: UnsafePointer<loravk_attention_config>!
) -> loravk_status {
    call {
        let (dq, dk, dv) = (
            try tensorObject(dq, "dq"), try tensorObject(dk, "dk"), try tensorObject(dv, "dv")
        )
        let (dout, out, lse) = (
            try tensorObject(dout, "dout"), try tensorObject(out, "out"), try tensorObject(lse, "lse")
        )
        let attention = try Attention(q, k, v, config)
        try operate(on: dq, dk, dv, dout, out, lse, attention.q, attention.k, attention.v) {
            try attention.check(
                queries: [(dq, "dq"), (dout, "dout"), (out, "out")], keys: [(dk, "dk"), (dv, "dv")],
                columns: [(lse, "lse")])
            let inputs = [(dout, "dout"), (out, "out"), (lse, "lse")]
            for (tensor, name) in [(dq, "dq"), (dk, "dk"), (dv, "dv")] {
                try tensor.requireDistinct(from: inputs, name)
            }
            try attention.requireDistinct([(dq, "dq"), (dk, "dk"), (dv, "dv")])
        } _: { encoder in
            guard attention.q.rows > 0 else { return }
            let delta = try attention.q.context.device.makeTensor(
                [attention.q.rows, attention.heads], label: "delta")
            try encoder.attentionBackward(
                intoQ: dq.tensor, k: dk.tensor, v: dv.tensor, delta: delta, dout.tensor, out: out.tensor,
                lse: lse.tensor, q: attention.q.tensor, k: attention.k.tensor, v: attention.v.tensor,
                spans: try attention.spans(), shape: attention.shape)
        }
    }
}

/// q, k, v, their heads and sequences.
private struct Attention {
    let q: TensorObject
    let k: TensorObject
    let v: TensorObject
    let heads: Int
    let kvHeads: Int
    private let lengths: [Int]

    init(
        _ q: OpaquePointer?, _ k: OpaquePointer?, _ v: OpaquePointer?,
        _ config: UnsafePointer<loravk_attention_config>?
    ) throws {
        self.q = try tensorObject(q, "q")
        self.k = try tensorObject(k, "k")
        self.v = try tensorObject(v, "v")
        let config = try read(try required(config, "config"), defaults: .defaults)
        (heads, kvHeads) = (Int(config.heads), Int(config.kv_heads))
        if let given = config.lengths {
            lengths = try array(given, config.sequences, "config.lengths").map { Int($0) }
        } else {
            lengths = [self.q.rows]
        }
    }

    var shape: AttentionShape {
        AttentionShape(heads: heads, kvHeads: kvHeads, headSize: q.width / heads)
    }

    func check(
        queries: [(TensorObject, String)], keys: [(TensorObject, String)], columns: [(TensorObject, String)]
    ) throws {
        guard (1...65536).contains(heads), (1...heads).contains(kvHeads), heads % kvHeads == 0 else {
            throw APIError.argument(
                "\(heads) heads over \(kvHeads) key/value heads: the second must divide the first")
        }
        let headSize = q.width / heads
        guard q.width == headSize * heads, headSize % 4 == 0, (4...256).contains(headSize) else {
            throw APIError.argument(
                "q has rows of \(q.width) for \(heads) heads: a head must have 4 to 256 numbers, a multiple of 4"
            )
        }
        guard lengths.allSatisfy({ $0 >= 0 }), lengths.reduce(0, +) == q.rows else {
            throw APIError.argument(
                "config.lengths must not be negative and sum up to q's \(q.rows) rows; they give \(lengths.reduce(0, +))"
            )
        }
        for (tensor, name) in queries + [(q, "q")] {
            try tensor.require(.f32, name)
            try tensor.require(rows: q.rows, width: heads * headSize, name)
        }
        for (tensor, name) in keys + [(k, "k"), (v, "v")] {
            try tensor.require(.f32, name)
            try tensor.require(rows: q.rows, width: kvHeads * headSize, name)
        }
        for (tensor, name) in columns {
            try tensor.require(.f32, name)
            try tensor.require(rows: q.rows, width: heads, name)
        }
        for (tensor, name) in queries + keys + columns + [(q, "q"), (k, "k"), (v, "v")] {
            try tensor.requireOneBinding(name)
        }
    }

    /// The outputs, from each other and from q, k and v.
    func requireDistinct(_ outputs: [(TensorObject, String)]) throws {
        for (index, (output, name)) in outputs.enumerated() {
            try output.requireDistinct(from: [(q, "q"), (k, "k"), (v, "v")] + outputs[(index + 1)...], name)
        }
    }

    /// (N, 2): where the sequence of each token starts and ends.
    func spans() throws -> Tensor {
        var spans: [Int32] = []
        var start: Int32 = 0
        for length in lengths {
            let end = start + Int32(length)
            for _ in 0..<length { spans += [start, end] }
            start = end
        }
        return try q.context.device.makeTensor(spans, [q.rows, 2], label: "spans")
    }
}
