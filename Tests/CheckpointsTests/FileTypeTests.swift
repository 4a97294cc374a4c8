// Which type each tensor gets is what llama.cpp's llama_model_quantize chose for the same models (Data/make_mixes.py).

import Checkpoints
import Testing

@Suite struct FileTypeTests {
    private static let models = ["grouped", "tied", "narrow", "mixtral", "few experts"]

    private static let kinds = [
        "F32", "F16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K",
    ]

    @Test(arguments: models)
    func typesAreThoseOfLlamaCPP(_ name: String) throws {
        let models = try JSONFields(JSON.read(fixture("mixes.json")), path: "mixes.json")
        let model = try models.fields(name)
        let spec = try ModelSpec(huggingFace: model.fields("config"))
        let tensors = spec.expectedTensors(of: .gguf)
        let names = try #require(try model.optionalStrings("tensors"))
        let mixes = try model.fields("types")
        #expect(mixes.object.members.count == 14)
        for mix in mixes.object.members {
            let types = try #require(FileType.named(mix.key)).types(tensors, of: spec)
            let own = names.map { types[$0]?.name ?? "F32" }
            let wanted = try mixes.string(mix.key).utf8.map { Self.kinds[Int($0 - UInt8(ascii: "a"))] }
            #expect(wanted.count == names.count)
            for (name, types) in zip(names, zip(own, wanted)) where types.0 != types.1 {
                Issue.record("\(name) in \(mix.key) is \(types.0), llama.cpp makes it \(types.1)")
            }
            #expect(Set(types.keys).isSubset(of: Set(names)))
        }
    }

    @Test func namesAreFoundInAnyCase() {
        #expect(FileType.named("q4_k_m")?.number == 15)
        #expect(FileType.named("Q4_K")?.name == "Q4_K_M")
        #expect(FileType.named("q6_k")?.base == .q6_K)
        #expect(FileType.named("q8_1") == nil)
        #expect(Set(FileType.all.map(\.number)).count == FileType.all.count)
        for type in FileType.all { #expect(type.base.isWritable) }
    }

    @Test func rowsThatAreNoWholeBlocksFallBack() {
        #expect(FileType.fitting(.q4_K, columns: 512) == .q4_K)
        #expect(FileType.fitting(.q4_K, columns: 96) == .q5_0)
        #expect(FileType.fitting(.q6_K, columns: 96) == .q8_0)
        #expect(FileType.fitting(.q3_K, columns: 48) == .f16)
        #expect(FileType.fitting(.f32, columns: 7) == .f32)
    }
}
