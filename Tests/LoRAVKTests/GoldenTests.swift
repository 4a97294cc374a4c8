import Checkpoints
import Foundation
import LoRAVK
import TestSupport
import Testing

/// Whole training runs against what Hugging Face PEFT computed: losses, gradients, final adapters.
@Suite(.serialized) struct GoldenTests {
    /// SmolLM2-135M-Instruct as GGUF; scripts/test sets the path.
    private static func smolLM2() throws -> Transformer {
        let path = try #require(
            ProcessInfo.processInfo.environment["LORAVK_TEST_MODEL"],
            "LORAVK_TEST_MODEL must name SmolLM2-135M-Instruct.Q4_1.gguf: run scripts/test")
        return try Transformer.load(path, device: TestDevices.main)
    }

    @Test(arguments: ["initA", "initB"])
    func aRealModelTrainsAsInPEFT(name: String) throws {
        try GoldenRun(name).reproduce(try Self.smolLM2())
    }

    @Test func aRealModelTrainsAsInPEFTWithoutReplay() throws {
        try GoldenRun("initA").reproduce(try Self.smolLM2(), replays: false)
    }

    @Test(arguments: [("initA", 15), ("initB", Int.max)])
    func aRealModelTrainsAsInPEFTWithBlocksComputedAgain(name: String, count: Int) throws {
        try GoldenRun(name).reproduce(try Self.smolLM2(), recomputedBlocks: count)
    }

    /// The tiny model of Examples: ragged ranks, rsLoRA, few targets, a scaled rope, and all matrices compared.
    @Test(arguments: ["initA", "initB", "rslora", "rank3", "qv", "rope_llama3"], [0, 1, Int.max])
    func aTinyModelTrainsAsInPEFT(name: String, recomputedBlocks: Int) throws {
        let run = try GoldenRun("tiny/\(name)")
        try run.reproduce(try run.tinyModel(), recomputedBlocks: recomputedBlocks)
    }
}
