import LoRAKit

/// A made-up method: only half of the update counts, and B begins to learn twice as fast as A.
struct HalfLoRA: Method {
    let name = "half-lora"
    let summary = "LoRA of which half counts"
    let factor = 0.5

    func learningRate(of matrix: LoRAMatrix) -> Double { matrix == .b ? 2 : 1 }
}
