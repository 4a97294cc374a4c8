// Matrix products of loravk.h, and the LoRA linear layer.

import CLoRAVK
import Kernels
import VulkanCompute

@c @implementation public func loravk_matmul(
    _ y: OpaquePointer!, _ a: OpaquePointer!, _ b: OpaquePointer!, _ op: loravk_matmul_op, _ scale: Float,
    _ accumulate: Bool
) -> loravk_status {
    call {
        let (y, a, b) = (try tensorObject(y, "y"), try tensorObject(a, "a"), try tensorObject(b, "b"))
        let product = try Product(y, a, b, op, scale)
        try operate(on: y, a, b, check: product.check) { encoder in
            try product.record(encoder, accumulate: accumulate)
        }
    }
}

/// y = scale·op(a, b), checked.
private struct Product {
    let y: TensorObject
    let a: TensorObject
    let b: TensorObject
    let op: Shader.Op
    let scale: Float

    init(_ y: TensorObject, _ a: TensorObject, _ b: TensorObject, _ op: loravk_matmul_op, _ scale: Float)
        throws
    {
        switch Int(op) {
        case LORAVK_MATMUL_NN: self.op = .nn
        case LORAVK_MATMUL_NT: self.op = .nt
        case LORAVK_MATMUL_TN: self.op = .tn
        default: throw APIError.argument("op is \(op); there are 0 (NN), 1 (NT) and 2 (TN)")
        }
        (self.y, self.a, self.b, self.scale) = (y, a, b, scale)
    }

    /// The length of the sum.
    private var k: Int { op == .tn ? a.rows : a.width }

    func check() throws {
        try finite(scale, "scale")
        for (tensor, name) in [(y, "y"), (a, "a"), (b, "b")] { try tensor.require(.f32, name) }
        try y.requireDistinct(from: [(a, "a"), (b, "b")], "y")
        let m = op == .tn ? a.width : a.rows
        let (n, other) = op == .nt ? (b.rows, b.width) : (b.width, b.rows)
        guard other == k, y.rows == m, y.width == n else {
            throw APIError.argument(
                "\(op.rawValue.uppercased()) of a \(a.shape) and b \(b.shape) into y \(y.shape): "
                    + (other == k ? "y must be (\(m), \(n))" : "the sums have \(k) and \(other) terms"))
        }
    }

    func record(_ encoder: CommandEncoder, accumulate: Bool) throws(VulkanError) {
        guard y.count > 0 else { return }
        if k == 0 {
            if !accumulate { try encoder.fill(y.storage) }
        } else if accumulate {
            try encoder.matmul(op, addingTo: y.tensor, a.tensor, b.tensor, scale: scale)
        } else {
            try encoder.matmul(op, into: y.tensor, a.tensor, b.tensor, scale: scale)
        }
    }
}

// MARK: LoRA

@c @implementation public func loravk_lora_linear_forward(
    _ y: OpaquePointer!, _ h: OpaquePointer!, _ x: OpaquePointer!, _ w: OpaquePointer!, _ a: OpaquePointer!,
    _ b: OpaquePointer!, _ scaling: Float
) -> loravk_status {
    call {
        let y = try tensorObject(y, "y")
        let h = try tensorObject(h, "h")
        let x = try tensorObject(x, "x")
        let layer = try LoRALinear(w, a, b, scaling)
        try operate(on: y, h, x, layer.w, layer.a, layer.b) {
            try layer.check(rows: x.rows)
            try layer.require(
                [(y, layer.outputs, "y"), (h, layer.rank, "h"), (x, layer.inputs, "x")], rows: x.rows)
            let operands = layer.tensors + [(x, "x")]
            try y.requireDistinct(from: operands + [(h, "h")], "y")
            try h.requireDistinct(from: operands, "h")
        } _: { encoder in
            try encoder.loraDown(into: h.tensor, x.tensor, loraA: layer.a.tensor, scaling: scaling)
            let term = layer.isFused ? LoRATerm(h: h.tensor, matrix: layer.b.tensor) : nil
            switch try layer.frozen() {
            case .weight(let weight): try encoder.matmul(into: y.tensor, x.tensor, weight: weight, lora: term)
            case .matrix(let matrix): try encoder.matmul(into: y.tensor, x.tensor, matrix: matrix, lora: term)
            }
            if !layer.isFused { try encoder.matmul(.nt, addingTo: y.tensor, h.tensor, layer.b.tensor) }
        }
    }
}

@c @implementation public func loravk_lora_linear_backward(
    _ dx: OpaquePointer!, _ da: OpaquePointer!, _ db: OpaquePointer!, _ dy: OpaquePointer!,
    _ x: OpaquePointer!,
    _ h: OpaquePointer!, _ w: OpaquePointer!, _ a: OpaquePointer!, _ b: OpaquePointer!, _ scaling: Float,
    _ accumulateDx: Bool
) -> loravk_status {
    call {
        let dx = dx == nil ? nil : try tensorObject(dx, "dx")
        let da = try tensorObject(da, "da")
        let db = try tensorObject(db, "db")
        let dy = try tensorObject(dy, "dy")
        let x = try tensorObject(x, "x")
        let h = try tensorObject(h, "h")
        let layer = try LoRALinear(w, a, b, scaling)
        try operate(on: dx ?? da, da, db, dy, x, h, layer.w, layer.a, layer.b) {
            try layer.check(rows: x.rows)
            try layer.require(
                [(dy, layer.outputs, "dy"), (h, layer.rank, "h"), (x, layer.inputs, "x")]
                    + (dx.map { [($0, layer.inputs, "dx")] } ?? []), rows: x.rows)
            try layer.require([(da, layer.inputs, "da")], rows: layer.rank)
            try layer.require([(db, layer.rank, "db")], rows: layer.outputs)
            let operands = layer.tensors + [(x, "x"), (h, "h"), (dy, "dy")]
            try da.requireDistinct(from: operands + [(db, "db")], "da")
            try db.requireDistinct(from: operands, "db")
            try dx?.requireDistinct(from: operands + [(da, "da"), (db, "db")], "dx")
        } _: { encoder in
            let g = try layer.a.context.device.makeTensor([x.rows, layer.rank], label: "g")
            try encoder.loraDownBackward(into: g, dy.tensor, loraB: layer.b.tensor, scaling: scaling)
            try encoder.loraGradientA(addingTo: da.tensor, g: g, x: x.tensor)
            try encoder.loraGradientB(addingTo: db.tensor, dy: dy.tensor, h: h.tensor)
            guard let dx else { return }
            let term = layer.isFused ? LoRATerm(h: g, matrix: layer.a.tensor) : nil
            switch (try layer.frozen(), accumulateDx) {
            case (.weight(let weight), false):
                try encoder.matmulBackward(into: dx.tensor, dy.tensor, weight: weight, lora: term)
            case (.weight(let weight), true):
                try encoder.matmulBackward(addingTo: dx.tensor, dy.tensor, weight: weight, lora: term)
            case (.matrix(let matrix), _):
                try encoder.matmulBackward(
                    dx.tensor, accumulate: accumulateDx, dy.tensor, matrix: matrix, lora: term)
            }
            if !layer.isFused { try encoder.matmul(.nn, addingTo: dx.tensor, g, layer.a.tensor) }
        }
    }
}

/// A linear layer's frozen weight w (O, I) and its adapter a (R, I), b (O, R).
private struct LoRALinear {
    let w: TensorObject
    let a: TensorObject
    let b: TensorObject
    let scaling: Float

    init(_ w: OpaquePointer?, _ a: OpaquePointer?, _ b: OpaquePointer?, _ scaling: Float) throws {
        self.w = try tensorObject(w, "w")
        self.a = try tensorObject(a, "a")
        self.b = try tensorObject(b, "b")
        self.scaling = scaling
    }

    var inputs: Int { w.width }
    var outputs: Int { w.rows }
    var rank: Int { a.rows }
    var tensors: [(TensorObject, String)] { [(w, "w"), (a, "a"), (b, "b")] }

    func check(rows: Int) throws {
        try finite(scaling, "scaling")
        guard w.type != .i32 else { throw APIError.argument("w is i32; it must be f32, f16 or bf16") }
        try a.require(.f32, "a")
        try b.require(.f32, "b")
        guard a.width == inputs, b.rows == outputs, b.width == rank else {
            throw APIError.argument(
                "w \(w.shape), a \(a.shape) and b \(b.shape) do not fit: they must be (O, I), (R, I) and (O, R)"
            )
        }
        guard rows > 0, inputs > 0, outputs > 0, rank > 0 else {
            throw APIError.argument(
                "\(rows) rows through w \(w.shape) with rank \(rank): none of them may be 0")
        }
    }

    func require(_ tensors: [(TensorObject, Int, String)], rows: Int) throws {
        for (tensor, width, name) in tensors {
            try tensor.require(.f32, name)
            try tensor.require(rows: rows, width: width, name)
        }
    }

    /// Kernels add the adapter in the same pass where its rank is a multiple of 4.
    var isFused: Bool { rank % 4 == 0 }

    /// w as kernels read it. 16-bit numbers are repacked once, or widened where their layout cannot hold the shape.
    func frozen() throws -> FrozenMatrix {
        guard w.type != .f32 else { return .matrix(w.tensor) }
        if let frozen = w.frozen, !w.isMapped { return frozen }
        let device = w.context.device
        let frozen: FrozenMatrix
        if inputs % 4 == 0, outputs % 4 == 0 {
            let layout = WeightLayout(w.type == .f16 ? .f16 : .bf16, rows: outputs, columns: inputs)
            let weight = try device.makeWeight(layout, label: "w")
            try device.download(w.slice, as: UInt16.self).withUnsafeBytes {
                try device.upload($0, into: weight)
            }
            frozen = .weight(weight)
        } else {
            let wide = try TensorObject(w.context, .f32, w.shape)
            try device.run { encoder throws(VulkanError) in
                try encoder.convert(into: wide.storage, .f32, w.storage, w.type.floatFormat, count: w.count)
            }
            frozen = .matrix(wide.tensor)
        }
        w.frozen = frozen
        return frozen
    }
}

/// A frozen weight as kernels read it.
enum FrozenMatrix {
    case weight(Weight)
    case matrix(Tensor)
}
