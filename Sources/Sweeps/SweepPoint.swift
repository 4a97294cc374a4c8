// One run of a sweep: the options of `train` in which it differs from the others.

import Checkpoints
import LoRAVK

package struct SweepPoint: Hashable, Sendable {
    package var series: Series
    package var learningRate: Double
    package var seed: UInt64

    package init(
        method: String, initialization: String, rank: Int, learningRate: Double, seed: UInt64,
        others: [Setting] = []
    ) {
        series = Series(method: method, initialization: initialization, rank: rank, others: others)
        (self.learningRate, self.seed) = (learningRate, seed)
    }

    package init(_ series: Series, learningRate: Double, seed: UInt64) {
        (self.series, self.learningRate, self.seed) = (series, learningRate, seed)
    }

    /// A long option of `train` and its value.
    package struct Setting: Hashable, Sendable {
        package var name: String
        package var value: String

        package init(_ name: String, _ value: String) { (self.name, self.value) = (name, value) }
    }

    /// What runs share that differ in learning rate and seed: one line of the report.
    package struct Series: Hashable, Sendable, CustomStringConvertible {
        package var method: String
        package var initialization: String
        package var rank: Int
        /// Whatever else the sweep varies, in the order of its axes.
        package var others: [Setting]

        package var settings: [Setting] {
            [
                Setting("method", method), Setting("init", initialization), Setting("rank", "\(rank)"),
            ] + others
        }

        package var description: String { label() }

        /// For people: options that have their usual values are left out, and so are the settings that `isShown` refuses.
        package func label(_ isShown: (String) -> Bool = { _ in true }) -> String {
            settings.filter { isShown($0.name) }.map { setting in
                switch setting.name {
                case "method": Registries.methods.shortened(setting.value)
                case "init": Registries.initializations.shortened(setting.value)
                default: "\(setting.name) \(setting.value)"
                }
            }.joined(separator: ", ")
        }
    }

    /// All that tells it from other runs.
    package var settings: [Setting] {
        series.settings + [Setting("lr", "\(learningRate)"), Setting("seed", "\(seed)")]
    }

    /// A name for its folder: readable, and unlike that of every other run.
    package var folderName: String {
        func plain(_ text: String) -> String {
            String(
                text.map {
                    $0.isASCII && ($0.isLetter || $0.isNumber || "+-.=".contains($0)) ? $0 : "-"
                })
        }
        let short =
            ([series.method, series.initialization, "rank\(series.rank)"].map(plain)
            + series.others.map { plain($0.name + $0.value) }
            + ["lr\(learningRate)", "seed\(seed)"]).joined(separator: "_")
        let exact = settings.map { "\($0.name)=\($0.value)" }.joined(separator: " ")
        var print = Fingerprint()
        print.add(exact)
        return "\(short.prefix(120))_\(print.text.suffix(8))"
    }
}

extension Registry {
    /// `pissa` for `pissa:iterations=0`, where that is what `pissa` means.
    fileprivate func shortened(_ text: String) -> String {
        guard let name = text.split(separator: ":").first.map(String.init), name != text,
            let usual = try? named(name) as? any Named, usual.description == text
        else { return text }
        return name
    }
}
