// A block: branches one after another on the residual stream.

import Kernels
import VulkanCompute

struct Block: Sendable {
    let branches: [Branch]

    var linears: [Linear] { branches.flatMap(\.linears) }

    /// The last branch that looks at other tokens: behind it only the tokens that are needed go on.
    private var selecting: Int? { branches.lastIndex { $0.mixer.mixesTokens } }

    /// The first branch with an adapted layer: a backward goes no further down.
    func lowestAdapted(_ pass: Pass) -> Int? {
        branches.firstIndex { $0.linears.contains { $0.isAdapted(pass) } }
    }

    /// Takes over `x` (N, C) and returns y, and what a backward from branch `lowest` up needs; nil: nothing is saved. `rows` (n) says
    /// of which tokens y is needed: then y is (n, C).
    func forward(
        _ x: Tensor, savesFrom lowest: Int?, _ states: [LayerState?]? = nil, rows: Tensor?, _ pass: Pass
    ) throws(VulkanError) -> (Tensor, [Branch.Saved]) {
        var (x, all) = (x, [Branch.Saved]())
        for (index, branch) in branches.enumerated() {
            let state = states?[index]
            if states != nil, try branch.step(x, state, pass) { continue }
            let (y, saved) = try branch.forward(
                x, saves: lowest.map { index >= $0 } ?? false, state, rows: index == selecting ? rows : nil,
                pass)
            x = y
            if let saved { all.append(saved) }
        }
        return (x, all)
    }

    /// What a backward needs, computed again from the block's input, which it takes over.
    func recompute(
        _ x: Tensor, from lowest: Int, rows: Tensor?, _ pass: Pass
    ) throws(VulkanError) -> [Branch.Saved] {
        var (x, all) = (x, [Branch.Saved]())
        for (index, branch) in branches.enumerated() {
            let rows = index == selecting ? rows : nil
            if index == branches.count - 1 {
                all.append(try branch.recompute(x, rows: rows, pass))
            } else {
                let (y, saved) = try branch.forward(x, saves: index >= lowest, rows: rows, pass)
                x = y
                if let saved { all.append(saved) }
            }
        }
        return all
    }

    /// Takes over `dx`, the gradient of y, and returns that of x, or what it is when nothing below needs it.
    func backward(
        _ dx: Tensor, _ saved: [Branch.Saved], from lowest: Int, needsInput: Bool, rows: Tensor?, _ pass: Pass
    ) throws(VulkanError) -> Tensor {
        var dx = dx
        for (index, saved) in zip(lowest..<branches.count, saved).reversed() {
            dx = try branches[index].backward(
                dx, saved, needsInput: needsInput || index > lowest, rows: index == selecting ? rows : nil,
                pass)
        }
        return dx
    }
}
