// What measuring chose on a device, in the place of the launchers' rules. Kept as a few lines of text in the cache folder, a file
// for each device and driver; without one, the rules hold.

/// Tiles change no bit of a result; the family and the order of sums change the last ones, matrix units the third digit.
package struct Tuning: Equatable, Sendable {
    package typealias Constants = [String: UInt32]

    /// The family of kernels.
    package var family: String?
    /// Whether a step's products are summed before they reach the running sum.
    package var sumsSteps: Bool?
    /// Specialization constants by the launcher's name of a case, none where the rule's are the fastest.
    package var tiles: [String: Constants] = [:]
    package static let ruled: Constants = [:]

    package init() {}
    package var isEmpty: Bool { self == Tuning() }
}

// MARK: Text

extension Tuning {
    package init(text: String) {
        for line in text.split(separator: "\n") {
            let sides = line.split(separator: ":", maxSplits: 1)
            guard sides.count == 2 else { continue }
            let words = sides[1].split(separator: " ").map(String.init)
            switch sides[0] {
            case "family": family = words.first
            case "sums-steps": sumsSteps = words.first.map { $0 == "yes" }
            default:
                let constants = words.compactMap { word -> (String, UInt32)? in
                    let parts = word.split(separator: "=")
                    guard parts.count == 2, let value = UInt32(parts[1]) else { return nil }
                    return (String(parts[0]), value)
                }
                tiles[String(sides[0])] = Constants(constants) { $1 }
            }
        }
    }

    package var text: String {
        var lines: [String] = []
        if let family { lines.append("family: \(family)") }
        if let sumsSteps { lines.append("sums-steps: \(sumsSteps ? "yes" : "no")") }
        for (name, constants) in tiles.sorted(by: { $0.key < $1.key }) {
            let words = constants.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
            lines.append("\(name): \(words.joined(separator: " "))")
        }
        return lines.map { $0 + "\n" }.joined()
    }
}

// MARK: Files

extension Tuning {
    private static func file(_ capabilities: Capabilities, _ folder: String) -> CacheFile {
        // A driver's id does not tell the widths of its vectors apart.
        CacheFile("tuning-\(capabilities.cacheName)-\(capabilities.subgroupSize).txt", in: folder)
    }

    static func stored(for capabilities: Capabilities, in folder: String?) -> Tuning {
        guard let folder else { return Tuning() }
        return Tuning(text: String(decoding: file(capabilities, folder).read(), as: UTF8.self))
    }

    /// Keeps it for the next time that the device is opened; nil where that is not possible, else the file.
    package func save(for device: Device) -> String? {
        guard let folder = device.instance.options.cacheFolder else { return nil }
        let file = Self.file(device.capabilities, folder)
        return file.write(Array(text.utf8)) ? file.path : nil
    }

    /// Back to the rules, from the next time that the device is opened; false where the file stays.
    package static func forget(for device: Device) -> Bool {
        guard let folder = device.instance.options.cacheFolder else { return true }
        return file(device.capabilities, folder).remove()
    }
}

extension Capabilities {
    /// The device and its driver in a file's name.
    var cacheName: String {
        cacheUUID.map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined()
    }
}
