// What an adapter's head says of sequences, of loravk.h.

import CLoRAVK
import Checkpoints
import LoRAVK

@c @implementation public func loravk_model_scores(
    _ handle: OpaquePointer!, _ adapter: OpaquePointer!, _ tokens: UnsafePointer<Int32>!,
    _ lengths: UnsafePointer<Int32>!, _ sequences: Int, _ scores: UnsafeMutablePointer<Float>!, _ count: Int
) -> loravk_status {
    headScores(handle, adapter, tokens, lengths, sequences, scores, "scores", count) { $1 }
}

@c @implementation public func loravk_model_classify(
    _ handle: OpaquePointer!, _ adapter: OpaquePointer!, _ tokens: UnsafePointer<Int32>!,
    _ lengths: UnsafePointer<Int32>!, _ sequences: Int, _ probabilities: UnsafeMutablePointer<Float>!,
    _ count: Int
) -> loravk_status {
    headScores(handle, adapter, tokens, lengths, sequences, probabilities, "probabilities", count) {
        $0.probabilities($1).map { Float($0) }
    }
}

private func headScores(
    _ handle: OpaquePointer?, _ adapter: OpaquePointer?, _ tokens: UnsafePointer<Int32>?,
    _ lengths: UnsafePointer<Int32>?, _ sequences: Int, _ values: UnsafeMutablePointer<Float>?,
    _ name: String,
    _ count: Int, meaning: (ScoreHead, [Float]) -> [Float]
) -> loravk_status {
    call {
        let object = try modelObject(handle)
        let adapter = try adapterObject(adapter)
        guard adapter.model === object else {
            throw APIError.argument("the adapter belongs to another model")
        }
        guard let head = adapter.adapter.head else {
            throw APIError.argument("the adapter has no head that says scores")
        }
        let lengths = try ragged(lengths, sequences)
        let needed = try product([sequences, head.outputs], name)
        guard count == needed else {
            throw APIError.argument(
                "count is \(UInt(bitPattern: count)); \(name) of \(sequences) sequences and \(head.outputs) outputs are "
                    + "\(needed)")
        }
        let values = try required(values, name)
        let examples = try object.examples(tokens, nil, lengths)
        let found = try object.context.locked {
            try Evaluator(object.model, adapter.adapter).scores(examples.map(\.tokens))
        }
        for (index, scores) in found.enumerated() {
            let row = meaning(head, scores)
            (values + index * row.count).update(from: row, count: row.count)
        }
    }
}
