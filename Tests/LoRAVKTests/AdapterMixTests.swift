// Sums of adapters, in files and on the device.

import Checkpoints
import LoRAVK
import TestSupport
import Testing
import VulkanCompute

@Suite struct AdapterMixTests {
    @Test func textsNameAdaptersAndWeights() throws {
        try withTemporaryFolder { folder in
            func terms(_ text: String) -> [String] {
                AdapterMix(text).terms.map { "\($0.path) \($0.weight)" }
            }
            #expect(terms("a=0.7,b=-0.3") == ["a 0.7", "b -0.3"])
            #expect(terms("a,b=2") == ["a 1.0", "b 2.0"])
            #expect(terms("run=x/adapter") == ["run=x/adapter 1.0"])
            #expect(AdapterMix("a").plainPath == "a" && AdapterMix("a=2").plainPath == nil)
            #expect(AdapterMix("a=2").scaled(by: 0.5).plainPath == "a")
            #expect(AdapterMix("a=0.5,b").text == "a=0.5,b")
            // What is there under the whole name is that.
            let odd = "\(folder)/lr=0.5,rank=8"
            try FileSystem.makeFolder(odd)
            #expect(terms(odd) == ["\(odd) 1.0"] && terms("\(odd)=3,b") != ["\(odd) 3.0", "b 1.0"])
            try FileSystem.makeFolder("\(folder)/x=2")
            #expect(terms("\(folder)/x=2=3") == ["\(folder)/x=2 3.0"])
        }
    }

    @Test func aMixIsTheSumOfWhatItsPartsChange() throws {
        let model = try TinyModel().load(TestDevices.main)
        let tokens = examples([11])[0].tokens
        func logits(_ adapter: Adapter?) throws -> [Float] {
            try Evaluator(model, adapter).logits(tokens, at: [10])[0]
        }
        func expectSame(_ a: [Float], _ b: [Float], _ text: String) {
            let wrong = mismatch(a, b.doubles, Tolerance(absolute: 2e-4, relative: 2e-4))
            #expect(wrong == nil, "\(text): \(wrong ?? "")")
        }
        let a = try Adapter.random(for: model, seed: 1)
        let b = try Adapter.random(for: model, rank: 3, targets: .names(["q_proj", "up_proj"]), seed: 2)
        expectSame(try logits(.mixed([(a, 1), (b, 0)], for: model)), try logits(a), "a alone")
        expectSame(try logits(.mixed([(a, 0.25), (a, 0.75)], for: model)), try logits(a), "parts of a")
        expectSame(try logits(.mixed([(a, 1), (b, 1), (a, -1)], for: model)), try logits(b), "a taken away")
        expectSame(try logits(.mixed([(a, 0)], for: model)), try logits(nil), "nothing")
        let mixed = try Adapter.mixed([(a, 0.7), (b, 0.3)], for: model)
        #expect(Set(mixed.layers.map(\.rank)) == [4, 7] && mixed.method.name == "lora")
        // As files, and on the same model by their names.
        try withTemporaryFolder { folder in
            try a.save(to: "\(folder)/a")
            try b.save(to: "\(folder)/b")
            let mix = AdapterMix("\(folder)/a=0.7,\(folder)/b=0.3")
            expectSame(try logits(.load(mix, for: model)), try logits(mixed), "from files")
            try AdapterFiles.open(mix, for: nil).save(to: "\(folder)/mixed")
            expectSame(try logits(.load("\(folder)/mixed", for: model)), try logits(mixed), "saved")
        }
    }

    @Test(arguments: Registries.methods.all)
    func methodsAreSumsOrRefused(_ method: any AdapterMethod) throws {
        let model = try TinyModel().load(TestDevices.main)
        var config = LoRAConfig()
        config.method = method
        let adapter = try Adapter.create(for: model, config)
        try adapter.shake()
        let tokens = examples([9])[0].tokens
        guard !["dora", "vera"].contains(method.name) else {
            let text = errorText { _ = try Adapter.mixed([(adapter, 1), (adapter, 1)], for: model) }
            #expect(text?.contains("can be neither mixed with another adapter nor scaled") == true)
            return
        }
        let halves = try Adapter.mixed([(adapter, 0.5), (adapter, 0.5)], for: model)
        let whole = try Evaluator(model, adapter).logits(tokens, at: [8])[0]
        let got = try Evaluator(model, halves).logits(tokens, at: [8])[0]
        #expect(mismatch(got, whole.doubles, Tolerance(absolute: 5e-4, relative: 5e-4)) == nil)
    }
}
