// Axes as people write them, and the runs they make.

import Checkpoints
import Foundation
import LoRAVK
import Sweeps
import Testing

@Suite struct SweepGridTests {
    private func grid(_ set: (inout SweepAxes) -> Void) throws(ConfigError) -> SweepGrid {
        var axes = SweepAxes()
        set(&axes)
        var grid = SweepGrid()
        try grid.set(axes)
        return grid
    }

    @Test func learningRatesAreListsAndLogarithmicRanges() throws {
        #expect(try grid { $0.learningRate = "1e-5, 3e-5,1" }.learningRates == [1e-5, 3e-5, 1])
        #expect(try grid { $0.learningRate = "1e-5...1e-2:4" }.learningRates == [1e-5, 1e-4, 1e-3, 1e-2])
        #expect(
            try grid { $0.learningRate = "1e-4...1e-2:5,7e-2" }.learningRates
                == [1e-4, 3.16228e-4, 1e-3, 3.16228e-3, 1e-2, 7e-2])
    }

    @Test func wholeNumbersAreListsAndRanges() throws {
        let grid = try grid {
            $0.seed = "1..3,18446744073709551615"
            $0.rank = "4,8..9"
        }
        #expect(grid.seeds == [1, 2, 3, .max] && grid.ranks == [4, 8, 9])
    }

    @Test func methodsKeepTheirOptionsAndAreNamedInFull() throws {
        let grid = try grid {
            $0.method = "lora+,lora+:ratio=4,lora"
            $0.initialization = "eva:samples=4,rho=1,init-b"
        }
        #expect(grid.methods == ["lora+:ratio=16", "lora+:ratio=4", "lora"])
        #expect(grid.initializations.count == 2 && grid.initializations[1] == "init-b")
        #expect(grid.initializations[0].contains("samples=4") && grid.initializations[0].contains("rho=1"))
    }

    @Test func everyCombinationIsOneRunAndSeedsChangeLast() throws {
        let points = try grid {
            $0.initialization = "kaiming,init-b"
            $0.learningRate = "1e-4,1e-3,1e-2"
            $0.seed = "1..2"
        }.points
        #expect(points.count == 12 && Set(points).count == 12)
        #expect(points.map(\.seed) == [1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2])
        #expect(Set(points.map(\.series)).map(\.initialization).sorted() == ["init-b", "kaiming"])
    }

    @Test(arguments: [
        ("lr", "1e-4,", "empty place"), ("lr", "0", "'0' is no positive number"), ("lr", "fast", "'fast'"),
        ("lr", "1e-2...1e-4:3", "no range such as"), ("lr", "1e-4...1e-2:1", "no range"),
        ("lr", "1,1", "appears twice"),
        ("lr", "nan", "'nan'"), ("seed", "3..1", "'3..1'"), ("seed", "-1", "'-1'"),
        ("seed", "0..99999999999", "no range"),
        ("seed", "0..18446744073709551615", "no range"), ("rank", "1.5", "'1.5'"),
        ("rank", "-9223372036854775808..9223372036854775807", "no range"),
        ("method", "magic", "there is no adapter method 'magic'"),
        ("method", "lora+,lora+:ratio=16", "appears twice"),
        ("init", "zeros", "there is no initialization 'zeros'"), ("init", "", "empty place"),
    ])
    func whatIsNoAxisIsASentence(axis: String, text: String, reason: String) {
        let error = #expect(throws: ConfigError.self) {
            try grid { axes in
                switch axis {
                case "lr": axes.learningRate = text
                case "seed": axes.seed = text
                case "rank": axes.rank = text
                case "method": axes.method = text
                default: axes.initialization = text
                }
            }
        }
        #expect(error?.description.contains(reason) == true, "\(error?.description ?? "")")
    }

    @Test func aGridThatIsTooLargeIsRefusedBeforeItIsMade() throws {
        let grid = try grid {
            $0.seed = "0..9999"
            $0.rank = "1..4096"
        }
        #expect(throws: ConfigError("the grid has more than 100000 runs; give its axes fewer values")) {
            try grid.points
        }
    }

    @Test func aFileHasTheSameAxes() throws {
        let path = NSTemporaryDirectory() + "grid-\(UUID().uuidString).json"
        defer { try? FileManager.default.removeItem(atPath: path) }
        try AtomicFile.write(
            #"{"lr": ["1e-4...1e-2:3", 0.5], "seed": [1, 2], "init": "init-b", "rank": 4}"#, to: path)
        var grid = SweepGrid()
        try grid.set(SweepAxes(file: path))
        #expect(grid.learningRates == [1e-4, 1e-3, 1e-2, 0.5] && grid.seeds == [1, 2])
        #expect(grid.initializations == ["init-b"] && grid.ranks == [4] && grid.methods == ["lora"])

        for (text, reason) in [
            (#"{"speed": 1}"#, "'speed' is no axis; there are method, init, rank, lr, seed"),
            (#"{"lr": [true]}"#, "lr"), (#"{"lr": "#, path), ("[1]", path),
        ] {
            try AtomicFile.write(text, to: path)
            let error = #expect(throws: FileError.self) { try SweepAxes(file: path) }
            #expect(error?.description.contains(reason) == true, "\(error?.description ?? "")")
        }
    }
}
