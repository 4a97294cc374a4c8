// Objectives by their texts, and what they tell, of loravk.h.

import CLoRAVK
import Glibc
import LoRAVK
import Synchronization

/// nil where there is no text.
func objective(_ text: UnsafePointer<CChar>?, _ name: String) throws -> (any Objective)? {
    try optionalText(text, name).map(Registries.objectives.named)
}

extension loravk_metric {
    /// Names are few, and live for ever.
    private static let names = Mutex<[String: UInt]>([:])

    static func all(_ metrics: Metrics) -> [loravk_metric] {
        metrics.values.prefix(Int(LORAVK_MAX_METRICS)).map { name, value in
            let address = names.withLock { names in
                if let known = names[name] { return known }
                let new = UInt(bitPattern: strdup(name))
                names[name] = new
                return new
            }
            return loravk_metric(name: UnsafePointer(bitPattern: address), value: value)
        }
    }
}

extension loravk_evaluation {
    mutating func set(_ all: [loravk_metric]) {
        metric_count = all.count
        withUnsafeMutableBytes(of: &metrics) { room in
            room.bindMemory(to: loravk_metric.self).baseAddress?.update(from: all, count: all.count)
        }
    }
}
