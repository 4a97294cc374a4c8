// Axes as people write them, and the runs they make.

import Checkpoints
import Foundation
import LoRAVK
import Sweeps
import Testing

@Suite struct SweepGridTests {
    private func values(_ name: String, _ text: String) throws(ConfigError) -> [String] {
        try SweepAxis(name, text).values
    }

    private let names = ["alpha", "dropout", "targets", "optimizer", "rslora", "steps"]

    private func grid(_ axes: [String: String] = [:], points: [String] = []) throws(ConfigError) -> SweepGrid
    {
        var grid = SweepGrid(names)
        for (name, text) in axes { try grid.set(name, text) }
        for text in points { try grid.addPoint(text) }
        return grid
    }

    @Test func learningRatesAreListsAndLogarithmicRanges() throws {
        #expect(try SweepAxis.rates("1e-5, 3e-5,1") == [1e-5, 3e-5, 1])
        #expect(try SweepAxis.rates("1e-5...1e-2:4") == [1e-5, 1e-4, 1e-3, 1e-2])
        #expect(
            try SweepAxis.rates("1e-4...1e-2:5,7e-2") == [1e-4, 3.16228e-4, 1e-3, 3.16228e-3, 1e-2, 7e-2])
    }

    @Test func wholeNumbersAreListsAndRanges() throws {
        #expect(try SweepAxis.seeds("1..3,9223372036854775807") == [1, 2, 3, UInt64(Int64.max)])
        #expect(try values("rank", "4,8..9") == ["4", "8", "9"])
    }

    @Test func methodsKeepTheirOptionsAndAreNamedInFull() throws {
        #expect(
            try values("method", "lora+,lora+:ratio=4,lora") == ["lora+:ratio=16", "lora+:ratio=4", "lora"])
        let starts = try values("init", "eva:samples=4,rho=1,init-b")
        #expect(starts.count == 2 && starts[1] == "init-b")
        #expect(starts[0].contains("samples=4") && starts[0].contains("rho=1"))
    }

    /// A value is written in one way only, so that a run is known again.
    @Test func anyOptionIsAnAxis() throws {
        #expect(try values("alpha", "8,16.0,1e1") == ["8", "16", "10"])
        #expect(try values("dropout", "0.05,.1") == ["0.05", "0.1"])
        #expect(try values("steps", "10..12") == ["10", "11", "12"])
        #expect(try values("targets", "q_proj,v_proj;all-linear") == ["q_proj,v_proj", "all-linear"])
        #expect(try values("optimizer", "sgd,adamw").count == 2)
        let runs = try grid(["alpha": "8,16", "rslora": "true,false"]).runs
        #expect(runs.count == 4 && Set(runs.map(\.series)).count == 4)
        #expect(runs[0].series.others == [.init("alpha", "8"), .init("rslora", "true")])
        #expect(Set(runs.map(\.folderName)).count == 4)
    }

    @Test func everyCombinationIsOneRunAndSeedsChangeLast() throws {
        let points = try grid(["init": "kaiming,init-b", "lr": "1e-4,1e-3,1e-2", "seed": "1..2"]).runs
        #expect(points.count == 12 && Set(points).count == 12)
        #expect(points.map(\.seed) == [1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2])
        #expect(points.prefix(3).map(\.learningRate) == [1e-4, 1e-3, 1e-2])
        #expect(Set(points.map(\.series)).map(\.initialization).sorted() == ["init-b", "kaiming"])
    }

    /// The usual comparison: three methods and one start of another kind, and no DoRA with PiSSA.
    @Test func pointsAreCombinedWithTheAxesThatTheyDoNotName() throws {
        let points = ["method=lora", "method=lora,init=pissa", "method=dora,lr=1e-2"]
        let runs = try grid(["lr": "1e-4,1e-3", "seed": "1..2"], points: points).runs
        #expect(runs.count == 10)
        #expect(runs.filter { $0.series.method == "dora" }.map(\.learningRate) == [1e-2, 1e-2])
        #expect(
            Set(runs.map(\.series.description)) == [
                "lora, kaiming, rank 8", "lora, pissa, rank 8", "dora, kaiming, rank 8",
            ])
        let options = try grid(points: ["method=lora+:ratio=4,alpha=32,targets=q_proj,v_proj"]).runs[0].series
        #expect(options.method == "lora+:ratio=4")
        #expect(options.others == [.init("alpha", "32"), .init("targets", "q_proj,v_proj")])
        #expect(
            try grid(points: ["rank=4", "rank=4"]).runs.count == 1, "a run that is named twice is one run")
    }

    @Test func whatIsExcludedIsNotRun() throws {
        var grid = try grid(["method": "lora,dora", "init": "kaiming,pissa", "lr": "1e-3,1e-2"])
        try grid.exclude("method=dora,init=pissa")
        try grid.exclude("lr=0.01,init=pissa")
        let runs = try grid.runs
        #expect(runs.count == 5)
        #expect(
            !runs.contains { $0.series.method == "dora" && $0.series.initialization == "pissa:iterations=0" })
        try grid.exclude("rank=8")
        #expect(throws: ConfigError("every run is excluded; leave one")) { try grid.runs }
    }

    @Test(arguments: [
        ("lr", "1e-4,", "empty place"), ("lr", "0", "'0' is no positive number"), ("lr", "fast", "'fast'"),
        ("lr", "1e-2...1e-4:3", "no range such as"), ("lr", "1e-4...1e-2:1", "no range"),
        ("lr", "1,1", "appears twice"), ("lr", "nan", "'nan'"), ("seed", "3..1", "'3..1'"),
        ("seed", "-1", "'-1'"), ("seed", "0..99999999999", "no range"),
        ("seed", "0..18446744073709551615", "no range"), ("seed", "9223372036854775808", "too large"),
        ("rank", "1.5", "'1.5'"),
        ("rank", "-9223372036854775808..9223372036854775807", "no range"),
        ("method", "magic", "there is no adapter method 'magic'"),
        ("method", "lora+,lora+:ratio=16", "appears twice"), ("alpha", "8,8.0", "appears twice"),
        ("init", "zeros", "there is no initialization 'zeros'"), ("init", "", "empty place"),
        ("speed", "1", "'speed' is no axis; there are method, init, rank, alpha"),
    ])
    func whatIsNoAxisIsASentence(axis: String, text: String, reason: String) {
        let error = #expect(throws: ConfigError.self) { try grid([axis: text]) }
        #expect(error?.description.contains(reason) == true, "\(error?.description ?? "")")
    }

    @Test(arguments: [
        ("fast", "not of the form"), ("speed=1", "'speed' is no axis"), ("lr=x", "'x' is no positive number"),
        ("lr=1,lr=2", "names an option twice"), ("", "not of the form"),
    ])
    func whatIsNoPointIsASentence(text: String, reason: String) {
        let error = #expect(throws: ConfigError.self) { try grid(points: [text]) }
        #expect(error?.description.contains(reason) == true, "\(error?.description ?? "")")
    }

    @Test func aGridThatIsTooLargeIsRefusedBeforeItIsMade() throws {
        let grid = try grid(["seed": "0..9999", "rank": "1..4096"])
        #expect(throws: ConfigError("the grid has more than 100000 runs; give its axes fewer values")) {
            try grid.runs
        }
    }

    @Test func aFileHasTheSameAxes() throws {
        let path = NSTemporaryDirectory() + "grid-\(UUID().uuidString).json"
        defer { try? FileManager.default.removeItem(atPath: path) }
        try AtomicFile.write(
            #"{"lr": ["1e-4...1e-2:3", 0.5], "seed": [1, 2], "init": "init-b", "rank": 4}"#, to: path)
        var grid = SweepGrid()
        try grid.read(axes: path)
        #expect(
            grid.values("lr") == ["0.0001", "0.001", "0.01", "0.5"] && grid.values("seed") == ["1", "2"])
        #expect(
            grid.values("init") == ["init-b"] && grid.values("rank") == ["4"]
                && grid.values("method") == ["lora"])

        for (text, reason) in [
            (#"{"speed": 1}"#, "'speed' is no axis; there are method, init, rank, lr, seed"),
            (#"{"lr": [[]]}"#, "lr"), (#"{"lr": "#, path), ("[1]", path),
        ] {
            try AtomicFile.write(text, to: path)
            let error = #expect(throws: FileError.self) { try grid.read(axes: path) }
            #expect(error?.description.contains(reason) == true, "\(error?.description ?? "")")
        }
    }

    @Test func aFileHasPoints() throws {
        let path = NSTemporaryDirectory() + "points-\(UUID().uuidString).json"
        defer { try? FileManager.default.removeItem(atPath: path) }
        try AtomicFile.write(
            #"[{"method": "dora", "lr": [1e-3, 1e-2]}, {"targets": ["q_proj,v_proj"], "rslora": true}]"#,
            to: path)
        var grid = SweepGrid(names)
        try grid.read(points: path)
        let runs = try grid.runs
        #expect(runs.count == 3 && runs[1].learningRate == 1e-2)
        #expect(runs[2].series.others == [.init("targets", "q_proj,v_proj"), .init("rslora", "true")])
        try AtomicFile.write("{}", to: path)
        #expect(throws: FileError.self) { try grid.read(points: path) }
    }
}
