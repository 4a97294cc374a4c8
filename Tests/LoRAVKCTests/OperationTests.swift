// Operations of the C API against their f64 references, at shapes the kernels like and shapes they do not.

import CLoRAVK
import LoRAVKC
import Kernels
import TestSupport
import Testing

@Suite struct OperationTests {
    @Test(arguments: [(1, 1, 1), (5, 7, 3), (33, 64, 36), (8, 0, 4), (0, 4, 4)])
    func matmul(_ shape: (m: Int, k: Int, n: Int)) throws {
        let (m, k, n) = shape
        let context = try makeContext()
        var random = RandomValues(seed: 1)
        let (a, b) = (Matrix(m, k, random.normal(m * k)), Matrix(k, n, random.normal(k * n)))
        let old = random.normal(m * n)
        let product = zip((a * b).values, old.doubles).map { 0.5 * $0 + $1 }
        for (op, left, right) in [
            (LORAVK_MATMUL_NN, a, b), (LORAVK_MATMUL_NT, a, b.transposed),
            (LORAVK_MATMUL_TN, a.transposed, b),
        ] {
            let x = try context.tensor(left.floats, [left.rows, left.columns])
            let w = try context.tensor(right.floats, [right.rows, right.columns])
            let y = try context.tensor(old, [m, n])
            try check(loravk_matmul(y.pointer, x.pointer, w.pointer, loravk_matmul_op(op), 0.5, true))
            #expect(mismatch(try y.floats, product, .float(roundings: 64, scale: 4)) == nil)
        }
        let (x, w) = (try context.tensor(a.floats, [m, k]), try context.tensor(b.floats, [k, n]))
        let y = try context.tensor(old, [m, n])
        try check(loravk_matmul(y.pointer, x.pointer, w.pointer, 0, 1, false))
        #expect(mismatch(try y.floats, (a * b).values, .float(roundings: 64, scale: 4)) == nil)
        let wrong = try context.tensor([m, n + 1])
        #expect(
            text(
                loravk_matmul(wrong.pointer, x.pointer, w.pointer, 0, 1, false), LORAVK_ERROR_INVALID_ARGUMENT
            ) != nil)
    }

    /// (tokens, out, in, rank): with an odd rank and with odd widths too.
    @Test(
        arguments: [LORAVK_F32, LORAVK_F16, LORAVK_BF16],
        [(5, 12, 8, 4), (9, 36, 64, 6), (3, 5, 7, 3)])
    func loraLinear(_ dtype: Int, _ shape: (n: Int, out: Int, in: Int, rank: Int)) throws {
        let context = try makeContext()
        var random = RandomValues(seed: 2)
        // Multiples of 1/16 are exact in 16 bits.
        let weight = random.normal(shape.out * shape.in).map { ($0 * 16).rounded() / 16 }
        let layer = ReferenceLoRALinear(
            weight: Matrix(shape.out, shape.in, weight),
            loraA: Matrix(shape.rank, shape.in, random.normal(shape.rank * shape.in)),
            loraB: Matrix(shape.out, shape.rank, random.normal(shape.out * shape.rank)), scaling: 0.5)
        let xs = Matrix(shape.n, shape.in, random.normal(shape.n * shape.in))
        let dys = Matrix(shape.n, shape.out, random.normal(shape.n * shape.out))
        let x = try context.tensor(xs.floats, [shape.n, shape.in])
        let wide = try context.tensor(weight, [shape.out, shape.in])
        let w = try context.tensor([shape.out, shape.in], dtype)
        try check(loravk_copy(w.pointer, wide.pointer))
        let a = try context.tensor(layer.loraA.floats, [shape.rank, shape.in])
        let b = try context.tensor(layer.loraB.floats, [shape.out, shape.rank])
        let (y, h) = (try context.tensor([shape.n, shape.out]), try context.tensor([shape.n, shape.rank]))
        try check(
            loravk_lora_linear_forward(
                y.pointer, h.pointer, x.pointer, w.pointer, a.pointer, b.pointer, 0.5))
        let tolerance = Tolerance.float(roundings: 64, scale: 8)
        #expect(mismatch(try y.floats, layer.forward(xs).values, tolerance) == nil)

        let dy = try context.tensor(dys.floats, [shape.n, shape.out])
        let (da, db) = (
            try context.tensor([shape.rank, shape.in]), try context.tensor([shape.out, shape.rank])
        )
        let ones = [Float](repeating: 1, count: shape.n * shape.in)
        let dx = try context.tensor(ones, [shape.n, shape.in])
        let expected = layer.backward(dys, x: xs)
        try check(
            loravk_lora_linear_backward(
                dx.pointer, da.pointer, db.pointer, dy.pointer, x.pointer, h.pointer, w.pointer, a.pointer,
                b.pointer, 0.5, true))
        #expect(mismatch(try dx.floats, expected.dx.values.map { $0 + 1 }, tolerance) == nil)
        // Without dx; the gradients are added to.
        try check(
            loravk_lora_linear_backward(
                nil, da.pointer, db.pointer, dy.pointer, x.pointer, h.pointer, w.pointer, a.pointer,
                b.pointer,
                0.5, false))
        #expect(mismatch(try da.floats, (2 * expected.dA).values, .float(roundings: 64, scale: 32)) == nil)
        #expect(mismatch(try db.floats, (2 * expected.dB).values, .float(roundings: 64, scale: 32)) == nil)
    }

    @Test func normAndCrossEntropy() throws {
        let context = try makeContext()
        var random = RandomValues(seed: 3)
        let (rows, width) = (5, 12)
        let (xs, weights, dys) = (
            random.normal(rows * width), random.normal(width), random.normal(rows * width)
        )
        let x = try context.tensor(xs, [rows, width])
        let weight = try context.tensor(weights, [width])
        let (y, rstd) = (try context.tensor([rows, width]), try context.tensor([rows]))
        try check(loravk_rms_norm_forward(y.pointer, rstd.pointer, x.pointer, weight.pointer, 1e-5))
        let forward = ReferenceNorm.forward(xs.doubles, weight: weights.doubles, epsilon: 1e-5)
        #expect(mismatch(try y.floats, forward.y, .float()) == nil)
        let dx = try context.tensor([rows, width])
        let dy = try context.tensor(dys, [rows, width])
        try check(
            loravk_rms_norm_backward(dx.pointer, dy.pointer, x.pointer, weight.pointer, rstd.pointer, false))
        let backward = ReferenceNorm.backward(
            dys.doubles, x: xs.doubles, weight: weights.doubles, rstd: forward.rstd)
        #expect(mismatch(try dx.floats, backward, .float(roundings: 32)) == nil)

        // Labels that are no class are ignored, whatever they are.
        let labels: [Int32] = [3, -100, 11, 12, .min]
        let (losses, dlogits) = (try context.tensor([rows]), try context.tensor([rows, width]))
        let labelTensor = try context.tensor(labels, [rows])
        let expected = ReferenceLoss.crossEntropy(
            xs.doubles, width: width, columns: width, labels: labels, scale: 0.25)
        try check(loravk_cross_entropy_forward(losses.pointer, x.pointer, labelTensor.pointer))
        #expect(mismatch(try losses.floats, expected.losses, .float()) == nil)
        try check(
            loravk_cross_entropy_backward(
                dlogits.pointer, losses.pointer, x.pointer, labelTensor.pointer, 0.25))
        #expect(mismatch(try dlogits.floats, expected.gradient, .float()) == nil)
        let odd = try context.tensor([rows, 7])
        #expect(
            text(
                loravk_cross_entropy_forward(losses.pointer, odd.pointer, labelTensor.pointer),
                LORAVK_ERROR_INVALID_ARGUMENT)?.contains("multiple of 4") == true)
    }

    @Test func attention() throws {
        let context = try makeContext()
        var random = RandomValues(seed: 4)
        let (heads, kvHeads, size, lengths) = (4, 2, 8, [3, 0, 6] as [Int32])
        let tokens = 9
        let reference = ReferenceAttention(
            segments: lengths.map { Int($0) },
            shape: AttentionShape(heads: heads, kvHeads: kvHeads, headSize: size))
        let (wide, narrow) = (tokens * heads * size, tokens * kvHeads * size)
        let (qs, ks, vs, ds) = (
            random.normal(wide), random.normal(narrow), random.normal(narrow), random.normal(wide)
        )
        func queries(_ values: [Float]? = nil) throws -> Handle {
            try context.tensor(values ?? [Float](repeating: 0, count: wide), [tokens, heads * size])
        }
        func keys(_ values: [Float]? = nil) throws -> Handle {
            try context.tensor(values ?? [Float](repeating: 0, count: narrow), [tokens, kvHeads * size])
        }
        let (q, k, v) = (try queries(qs), try keys(ks), try keys(vs))
        let (out, lse, dout) = (try queries(), try context.tensor([tokens, heads]), try queries(ds))
        let (dq, dk, dv) = (try queries(), try keys(), try keys())
        try lengths.withUnsafeBufferPointer { lengths in
            var config = loravk_attention_config()
            config.struct_size = MemoryLayout<loravk_attention_config>.size
            (config.heads, config.kv_heads) = (Int32(heads), Int32(kvHeads))
            (config.lengths, config.sequences) = (lengths.baseAddress, lengths.count)
            try check(
                loravk_attention_forward(
                    out.pointer, lse.pointer, q.pointer, k.pointer, v.pointer, &config))
            try check(
                loravk_attention_backward(
                    dq.pointer, dk.pointer, dv.pointer, dout.pointer, out.pointer, lse.pointer, q.pointer,
                    k.pointer, v.pointer, &config))
            config.sequences = 2
            #expect(
                text(
                    loravk_attention_forward(
                        out.pointer, lse.pointer, q.pointer, k.pointer, v.pointer, &config),
                    LORAVK_ERROR_INVALID_ARGUMENT)?.contains("sum up to") == true)
        }
        let tolerance = Tolerance.float(roundings: 64)
        let forward = reference.forward(q: qs.doubles, k: ks.doubles, v: vs.doubles)
        #expect(mismatch(try out.floats, forward.out, tolerance) == nil)
        let backward = reference.backward(ds.doubles, q: qs.doubles, k: ks.doubles, v: vs.doubles)
        for (gradient, expected) in [(dq, backward.dq), (dk, backward.dk), (dv, backward.dv)] {
            #expect(mismatch(try gradient.floats, expected, tolerance) == nil)
        }
    }

    @Test func conversionsRoundToNearestEven() throws {
        let context = try makeContext()
        let values: [Float] = [
            1, 1 + 0x1p-11, 1 + 0x3p-11, 65519, 65520, 1e9, -0.0, 0x1p-24, 0x1p-25, 0x1.8p-25, 3.14159, -2e-8,
            .infinity, 1 + 0x1p-8,
        ]
        let wide = try context.tensor(values, [values.count])
        let (half, brain) = (
            try context.tensor([values.count], LORAVK_F16), try context.tensor([values.count], LORAVK_BF16)
        )
        try check(loravk_copy(half.pointer, wide.pointer))
        try check(loravk_copy(brain.pointer, wide.pointer))
        #expect(try half.download(UInt16.zero) == values.map { Float16($0).bitPattern })
        let brains = try brain.download(UInt16.zero)
        #expect(
            brains
                == values.map {
                    UInt16(truncatingIfNeeded: ($0.bitPattern + 0x7fff + ($0.bitPattern >> 16 & 1)) >> 16)
                })
        // From one 16-bit format to the other, and back to 32 bits.
        try check(loravk_copy(wide.pointer, half.pointer))
        #expect(try wide.floats == values.map { Float(Float16($0)) })
        try check(loravk_copy(half.pointer, brain.pointer))
        #expect(
            try half.download(UInt16.zero)
                == brains.map { Float16(Float(bitPattern: UInt32($0) << 16)).bitPattern })
        let integers = try context.tensor([1, 2] as [Int32], [2])
        let two = try context.tensor([2])
        #expect(text(loravk_copy(two.pointer, integers.pointer), LORAVK_ERROR_INVALID_ARGUMENT) != nil)
    }

    @Test func embeddingSumsAndMaps() throws {
        let context = try makeContext()
        let table = try context.tensor((0..<24).map { Float($0) }, [6, 4])
        let ids = try context.tensor([5, 0, -3, 6, .max] as [Int32], [5])
        let y = try context.tensor([5, 4])
        try check(loravk_embedding(y.pointer, ids.pointer, table.pointer))
        #expect(try y.floats == [20, 21, 22, 23, 0, 1, 2, 3] + [Float](repeating: 0, count: 12))
        let odd = try context.tensor([1, 2, 3, 4, 5, 6, 7] as [Float], [7])
        try check(loravk_add(odd.pointer, odd.pointer, odd.pointer, 2))
        try check(loravk_scale(odd.pointer, odd.pointer, 0.5))
        #expect(try odd.floats == [1.5, 3, 4.5, 6, 7.5, 9, 10.5])
        var data: UnsafeMutableRawPointer?
        if loravk_tensor_map(odd.pointer, &data) == LORAVK_OK {
            #expect(data?.assumingMemoryBound(to: Float.self)[6] == 10.5)
        }
        try check(loravk_zero(odd.pointer))
        #expect(try odd.floats == [Float](repeating: 0, count: 7))
    }

    /// Two tensors of odd sizes are one set of parameters.
    @Test func adamWAndClipping() throws {
        let context = try makeContext()
        var random = RandomValues(seed: 6)
        let sizes = [7, 130]
        let starts = sizes.map { random.normal($0) }
        let parameters = try zip(starts, sizes).map { try context.tensor($0, [$1]) }
        let gradients = try sizes.map { try context.tensor([$0]) }
        var config = loravk_optimizer_config()
        config.struct_size = MemoryLayout<loravk_optimizer_config>.size
        (config.beta1, config.beta2, config.epsilon) = (0.9, 0.99, 1e-8)
        (config.weight_decay, config.max_grad_norm) = (0.1, 1)
        let optimizer = try Handle(loravk_optimizer_release) {
            loravk_optimizer_create(&config, parameters.map(\.pointer), gradients.map(\.pointer), 2, $0)
        }
        var reference = ReferenceAdamW(
            starts.joined().map { Double($0) }, beta1: 0.9, beta2: 0.99, epsilon: 1e-8)
        for _ in 0..<3 {
            let values = sizes.map { random.normal($0) }
            for (gradient, values) in zip(gradients, values) { try gradient.upload(values) }
            var norm = 0.0
            try check(loravk_optimizer_step(optimizer.pointer, 0.01, &norm))
            let expected = reference.step(
                values.joined().map { Double($0) }, learningRate: 0.01, weightDecay: 0.1, maxGradientNorm: 1)
            #expect(abs(norm - expected) < 1e-4 * expected)
        }
        let trained = try parameters.flatMap { try $0.floats }
        #expect(mismatch(trained, reference.parameters, .float(roundings: 64)) == nil)

        // A gradient that is not a number changes nothing.
        try gradients[0].upload([Float](repeating: .nan, count: 7))
        var norm = -1.0
        #expect(text(loravk_optimizer_step(optimizer.pointer, 0.01, &norm), LORAVK_ERROR_DIVERGED) != nil)
        #expect(try parameters.flatMap { try $0.floats } == trained && norm == -1)

        try gradients[0].upload([3, 0, 0, 0, 0, 0, 0] as [Float])
        try check(loravk_zero(gradients[1].pointer))
        try check(loravk_clip_gradient_norm(gradients.map(\.pointer), 2, 1.5, &norm))
        #expect(norm == 3)
        #expect(abs(try gradients[0].floats[0] - 1.5) < 1e-5)
        try check(loravk_optimizer_zero_gradients(optimizer.pointer))
        #expect(try gradients[0].floats == [Float](repeating: 0, count: 7))
    }

    @Test func graphsReplayWithNewValues() throws {
        let context = try makeContext()
        let (a, b) = (
            try context.tensor([1, 2, 3, 4] as [Float], [2, 2]),
            try context.tensor([1, 0, 0, 1] as [Float], [2, 2])
        )
        let y = try context.tensor([2, 2])
        try check(loravk_graph_begin(context.pointer))
        #expect(text(loravk_graph_begin(context.pointer), LORAVK_ERROR_INVALID_STATE) != nil)
        try check(loravk_matmul(y.pointer, a.pointer, b.pointer, 0, 1, false))
        try check(loravk_scale(y.pointer, y.pointer, 2))
        // A refused operation leaves the recording as it was.
        #expect(loravk_matmul(y.pointer, y.pointer, b.pointer, 0, 1, false) == LORAVK_ERROR_INVALID_ARGUMENT)
        var norm = 0.0
        #expect(
            text(loravk_clip_gradient_norm([y.pointer], 1, 1, &norm), LORAVK_ERROR_INVALID_STATE) != nil)
        let graph = try Handle(loravk_graph_release) { loravk_graph_end(context.pointer, $0) }
        #expect(text(loravk_graph_end(context.pointer, nil), LORAVK_ERROR_INVALID_STATE) != nil)
        #expect(try y.floats == [0, 0, 0, 0])
        try check(loravk_graph_run(graph.pointer))
        #expect(try y.floats == [2, 4, 6, 8])
        try a.upload([5, 6, 7, 8] as [Float])
        // The graph keeps what it works on alive.
        a.release()
        b.release()
        try check(loravk_graph_run(graph.pointer))
        #expect(try y.floats == [10, 12, 14, 16])
    }

    @Test func hostMemoryInPlace() throws {
        let context = try makeContext()
        var info = loravk_device_info()
        info.struct_size = MemoryLayout<loravk_device_info>.size
        try check(loravk_context_get_device_info(context.pointer, &info))
        let alignment = max(Int(info.import_alignment_bytes), 4096)
        let memory = UnsafeMutableRawPointer.allocate(byteCount: alignment, alignment: alignment)
        defer { memory.deallocate() }
        memory.initializeMemory(as: Float.self, repeating: 3, count: alignment / 4)
        var freed = 0
        try withUnsafeMutablePointer(to: &freed) { freed in
            func make(_ shape: [Int64], _ tensor: UnsafeMutablePointer<OpaquePointer?>) -> loravk_status {
                loravk_tensor_import(
                    context.pointer, 0, shape, shape.count, memory, alignment, freed,
                    { $0?.assumingMemoryBound(to: Int.self).pointee += 1 }, tensor)
            }
            var refused: OpaquePointer?
            guard info.import_alignment_bytes > 0 else {
                #expect(make([2, 4], &refused) == LORAVK_ERROR_UNSUPPORTED)
                return
            }
            #expect(make([3], &refused) == LORAVK_ERROR_INVALID_ARGUMENT)
            #expect(make([1 << 20], &refused) == LORAVK_ERROR_INVALID_ARGUMENT && freed.pointee == 0)
            let tensor = try Handle(loravk_tensor_release) { make([2, 4], $0) }
            let floats = memory.assumingMemoryBound(to: Float.self)
            floats[5] = 10
            try check(loravk_scale(tensor.pointer, tensor.pointer, 2))
            #expect((0..<9).map { floats[$0] } == [6, 6, 6, 6, 6, 20, 6, 6, 3])
            tensor.release()
            #expect(freed.pointee == 1)
        }
    }

    @Test func shapesThatCannotBe() throws {
        let context = try makeContext()
        var tensor: OpaquePointer?
        for shape: [Int64] in [
            [-1], [.max, .max], [1 << 31], [1 << 20, 1 << 20, 1 << 20, 0], [1 << 30, 1 << 30],
        ] {
            let status = loravk_tensor_create(context.pointer, 0, shape, shape.count, &tensor)
            #expect(status == LORAVK_ERROR_INVALID_ARGUMENT || status == LORAVK_ERROR_OUT_OF_MEMORY)
        }
        #expect(loravk_tensor_create(context.pointer, 9, [1], 1, &tensor) == LORAVK_ERROR_INVALID_ARGUMENT)
        #expect(loravk_tensor_create(context.pointer, 0, [1], -1, &tensor) == LORAVK_ERROR_INVALID_ARGUMENT)
        #expect(loravk_tensor_create(context.pointer, 0, nil, 2, &tensor) == LORAVK_ERROR_INVALID_ARGUMENT)
        #expect(tensor == nil)
        let (empty, number) = (try context.tensor([0, 5]), try context.tensor([Float(7)], []))
        try check(loravk_zero(empty.pointer))
        #expect(try number.floats == [7])
        // Of another context.
        let other = try makeContext().tensor([1])
        #expect(
            text(loravk_copy(other.pointer, number.pointer), LORAVK_ERROR_INVALID_ARGUMENT)?.contains(
                "contexts") == true)
    }
}
