// Operations of loravk.h on elements and rows: zero, copy with conversion, scale, add, embedding.

import CLoRAVK
import Kernels
import VulkanCompute

@c @implementation public func loravk_zero(_ tensor: OpaquePointer!) -> loravk_status {
    call {
        let tensor = try tensorObject(tensor, "tensor")
        try operate(on: tensor, check: {}) { encoder in
            tensor.frozen = nil
            try encoder.fill(tensor.storage)
        }
    }
}

@c @implementation public func loravk_copy(_ y: OpaquePointer!, _ x: OpaquePointer!) -> loravk_status {
    call {
        let (y, x) = (try tensorObject(y, "y"), try tensorObject(x, "x"))
        try operate(on: y, x) {
            try x.require(count: y.count, "x")
            guard (y.type == .i32) == (x.type == .i32) else {
                throw APIError.argument(
                    "x is \(x.type) and y is \(y.type): integers and floats are not converted")
            }
        } _: { encoder in
            if y === x { return }
            y.frozen = nil
            if y.type == x.type {
                try encoder.copy(into: y.storage, from: x.storage)
            } else {
                try encoder.convert(
                    into: y.storage, y.type.floatFormat, x.storage, x.type.floatFormat, count: y.count)
            }
        }
    }
}

@c @implementation public func loravk_scale(_ y: OpaquePointer!, _ x: OpaquePointer!, _ factor: Float)
    -> loravk_status
{
    call {
        let (y, x) = (try tensorObject(y, "y"), try tensorObject(x, "x"))
        try operate(on: y, x) {
            try finite(factor, "factor")
            try y.require(.f32, "y")
            try x.require(.f32, "x")
            try x.require(count: y.count, "x")
        } _: { encoder in
            try encoder.scale(into: y.flat, x.flat, by: factor)
        }
    }
}

@c @implementation public func loravk_add(
    _ y: OpaquePointer!, _ a: OpaquePointer!, _ b: OpaquePointer!, _ factor: Float
) -> loravk_status {
    call {
        let (y, a, b) = (try tensorObject(y, "y"), try tensorObject(a, "a"), try tensorObject(b, "b"))
        try operate(on: y, a, b) {
            try finite(factor, "factor")
            for (tensor, name) in [(y, "y"), (a, "a"), (b, "b")] {
                try tensor.require(.f32, name)
                try tensor.require(count: y.count, name)
            }
        } _: { encoder in
            try encoder.add(into: y.flat, a.flat, b.flat, scaledBy: factor)
        }
    }
}

@c @implementation public func loravk_embedding(
    _ y: OpaquePointer!, _ ids: OpaquePointer!, _ table: OpaquePointer!
) -> loravk_status {
    call {
        let (y, ids, table) = (
            try tensorObject(y, "y"), try tensorObject(ids, "ids"), try tensorObject(table, "table")
        )
        try operate(on: y, ids, table) {
            try y.require(.f32, "y")
            try table.require(.f32, "table")
            try ids.require(.i32, "ids")
            try y.require(rows: ids.count, width: table.width, "y")
            try y.requireDistinct(from: [(table, "table")], "y")
            try y.requireWidthInFours("y")
            try ids.requireOneBinding("ids")
        } _: { encoder in
            guard y.count > 0 else { return }
            guard table.rows > 0 else { return try encoder.fill(y.storage) }
            try encoder.gatherRows(into: y.tensor, table.tensor, index: ids.column)
        }
    }
}

extension TensorObject {
    /// All elements as one dimension.
    var column: Tensor { tensor.reshaped([count]) }
}
