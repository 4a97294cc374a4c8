// Vectors of texts.

import CLoRAVK
import LoRAVK

@c @implementation public func loravk_model_embed(
    _ handle: OpaquePointer!, _ adapter: OpaquePointer!, _ texts: UnsafePointer<UnsafePointer<CChar>?>!,
    _ count: Int, _ pooling: UnsafePointer<CChar>!, _ normalize: Int32,
    _ vectors: UnsafeMutablePointer<Float>!,
    _ size: Int
) -> loravk_status {
    call {
        let object = try modelObject(handle)
        let adapter = try optionalAdapter(adapter, of: object)
        var settings = try EmbeddingSettings(object.model.checkpoint)
        if let name = try optionalText(pooling, "pooling") {
            guard let pooling = Pooling(rawValue: name) else {
                throw APIError.argument("pooling is '\(name)'; it must be mean, cls or last")
            }
            settings.pooling = pooling
        }
        guard -1...1 ~= normalize else {
            throw APIError.argument(
                "normalize is \(normalize); it must be 0, 1, or -1 for the model's own way")
        }
        if normalize >= 0 { settings.isNormalized = normalize == 1 }
        let needed = try product([count, object.model.spec.width], "vectors")
        guard size == needed else {
            throw APIError.argument(
                "size is \(UInt(bitPattern: size)); \(count) vectors of \(object.model.spec.width) numbers are \(needed)"
            )
        }
        guard count > 0 else { return }
        let (texts, vectors) = (try required(texts, "texts"), try required(vectors, "vectors"))
        let tokens = try (0..<count).map { index in
            settings.tokens(try text(texts[index], "texts[\(index)]"), try object.tokenizer()).ids
        }
        let found = try object.context.locked {
            try Evaluator(object.model, adapter).embeddings(
                tokens, pooling: settings.pooling, isNormalized: settings.isNormalized)
        }
        for (index, vector) in found.enumerated() {
            (vectors + index * vector.count).update(from: vector, count: vector.count)
        }
    }
}
