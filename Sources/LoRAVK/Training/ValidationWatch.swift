// The best validation of a run so far, and how many came since that were no better. It is saved with the run's state, so that a run
// that goes on ends where an undisturbed one does.

struct ValidationWatch: Sendable, Equatable {
    private(set) var bestStep: Int?
    private(set) var bestLoss = Double.infinity
    /// Validations in a row without an improvement that counts.
    private(set) var stale = 0

    private static let (stepKey, lossKey) = ("lora_vk.best_step", "lora_vk.best_loss")
    private static let staleKey = "lora_vk.stale_validations"

    init() {}

    /// Takes a validation in. True: it is the best so far.
    mutating func note(_ loss: Double, step: Int, minImprovement: Double) -> Bool {
        stale = loss < bestLoss - minImprovement ? 0 : stale + 1
        guard loss < bestLoss else { return false }
        (bestLoss, bestStep) = (loss, step)
        return true
    }

    /// As it is saved.
    var notes: [String: String] {
        var notes = [Self.staleKey: "\(stale)"]
        if let bestStep { (notes[Self.stepKey], notes[Self.lossKey]) = ("\(bestStep)", "\(bestLoss)") }
        return notes
    }

    /// From a state; as at the beginning where it says nothing, or what cannot be.
    init(_ notes: [String: String]) {
        if let step = notes[Self.stepKey].flatMap(Int.init), step > 0,
            let loss = notes[Self.lossKey].flatMap(Double.init), loss.isFinite
        {
            (bestStep, bestLoss) = (step, loss)
        }
        stale = notes[Self.staleKey].flatMap(Int.init).map { max(0, $0) } ?? 0
    }
}
