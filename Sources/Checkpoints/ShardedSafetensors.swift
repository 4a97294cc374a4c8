// The weights of a Hugging Face folder: model.safetensors, or the shards that model.safetensors.index.json
// lists, read and written.

package struct SafetensorsFolder: Sendable {
    package let folder: String
    package let tensors: [StoredTensor]

    package init(_ folder: String, limits: LoadLimits = .standard) throws(FileError) {
        self.folder = folder
        let single = "\(folder)/model.safetensors"
        let index = "\(single).index.json"
        if FileSystem.exists(index) {
            tensors = try SafetensorsFolder.shards(index, folder, limits)
        } else if FileSystem.exists(single) {
            tensors = try SafetensorsFile(single, limits: limits).tensors
        } else if FileSystem.exists("\(folder)/pytorch_model.bin") {
            throw FileError(
                folder, "holds its weights as pytorch_model.bin, which can run code when opened",
                remedy: "convert it to model.safetensors")
        } else {
            throw FileError(folder, "holds neither model.safetensors nor model.safetensors.index.json")
        }
    }

    private static func shards(
        _ index: String, _ folder: String, _ limits: LoadLimits
    ) throws(FileError) -> [StoredTensor] {
        let map = try JSONFields(JSON.read(index, limits: limits), path: index).fields("weight_map")
        var names: [ExactString: Set<ExactString>] = [:]
        var order: [String] = []
        for tensor in map.object.keys {
            let shard = try map.string(tensor)
            if names[ExactString(shard)] == nil { order.append(shard) }
            names[ExactString(shard), default: []].insert(ExactString(tensor))
        }
        guard order.count <= limits.shards else {
            throw FileError(index, "names \(order.count) files, the limit is \(limits.shards)")
        }
        var tensors: [StoredTensor] = []
        for shard in order {
            let path = try shardPath(shard, folder, index)
            let file = try SafetensorsFile(path, limits: limits)
            let expected = names[ExactString(shard)] ?? []
            for name in expected where file[name.text] == nil {
                throw FileError(path, "lacks the tensor '\(name.text.shortened)' that \(index) puts there")
            }
            tensors += file.tensors.filter { expected.contains(ExactString($0.name)) }
        }
        return tensors
    }

    /// An index comes from anywhere: it may only name what lies in its own folder. What lies there may be a link to any
    /// file, as one unsharded file may: whoever made the folder made it (the Hugging Face cache is all links).
    private static func shardPath(
        _ shard: String, _ folder: String, _ index: String
    ) throws(FileError) -> String {
        guard !shard.isEmpty, shard != "..", shard != ".", !shard.utf8.contains(UInt8(ascii: "/")),
            !shard.utf8.contains(0)
        else {
            throw FileError(
                index, "names the file '\(shard.shortened)', which is not a plain name inside its folder")
        }
        let path = "\(folder)/\(shard)"
        guard FileSystem.exists(path) else {
            throw FileError(path, "is missing", remedy: "\(index) names it: download the model again")
        }
        return path
    }
}

package enum ShardedSafetensors {
    /// Writes the weights of a model into a folder, in files of at most `maxShardBytes` unless one tensor is larger, named
    /// and listed as transformers does. Each file appears when it is complete.
    package static func write(
        _ tensors: [TensorSource], maxShardBytes: Int, to folder: String
    ) throws(FileError) {
        var shards: [(tensors: [TensorSource], bytes: Int)] = []
        for tensor in tensors {
            guard let bytes = tensor.byteCount else {
                throw FileError(folder, "the tensor '\(tensor.name)' of shape \(tensor.shape) is too large")
            }
            if let last = shards.indices.last, shards[last].bytes <= maxShardBytes - bytes {
                shards[last].tensors.append(tensor)
                shards[last].bytes += bytes
            } else {
                shards.append(([tensor], bytes))
            }
        }
        guard shards.count > 1 else {
            return try SafetensorsWriter.write(tensors, to: "\(folder)/model.safetensors")
        }
        var map = JSON.Object()
        for (index, shard) in shards.enumerated() {
            let name = "model-\(padded(index + 1))-of-\(padded(shards.count)).safetensors"
            try SafetensorsWriter.write(shard.tensors, to: "\(folder)/\(name)")
            for tensor in shard.tensors { map[tensor.name] = .string(name) }
        }
        let index: JSON.Object = [
            "metadata": .object(["total_size": .integer(shards.reduce(0) { $0 + $1.bytes })]),
            "weight_map": .object(map),
        ]
        try AtomicFile.write(
            JSON.object(index).text(.python) + "\n", to: "\(folder)/model.safetensors.index.json")
    }

    private static func padded(_ number: Int) -> String {
        let digits = String(number)
        return String(repeating: "0", count: max(0, 5 - digits.count)) + digits
    }
}
