// What scores mean: probabilities of classes or labels, or numbers.

import Checkpoints

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

extension ScoreHead {
    /// As transformers takes it where nobody said it.
    private var kind: Problem { problem ?? (outputs == 1 ? .regression : .single) }

    /// softmax of classes, σ of labels, numbers as they are.
    package func probabilities(_ scores: [Float]) -> [Double] {
        let z = scores.map(Double.init)
        switch kind {
        case .single:
            let largest = z.max() ?? 0
            let parts = z.map { exp($0 - largest) }
            let sum = parts.reduce(0, +)
            return parts.map { $0 / sum }
        case .multi: return z.map { 1 / (1 + exp(-$0)) }
        case .regression: return z
        }
    }

    /// `label`, `labels` or `value`, and `scores` by name.
    package func said(_ scores: [Float]) -> JSON {
        let all = probabilities(scores)
        var object = JSON.Object()
        switch kind {
        case .single: object["label"] = .string(names[all.firstIndex(of: all.max() ?? 0) ?? 0])
        case .multi: object["labels"] = .array(zip(names, all).filter { $0.1 > 0.5 }.map { .string($0.0) })
        case .regression where outputs == 1: return .object(["value": .double(all[0])])
        case .regression: break
        }
        var named = JSON.Object()
        for (name, score) in zip(names, all) { named[name] = .double(score) }
        object["scores"] = .object(named)
        return .object(object)
    }
}
