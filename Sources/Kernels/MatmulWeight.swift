// A frozen weight on the device: 4 × 4 tiles and, where it is quantised, the scales of its blocks of 32 inputs.
// The layout is that of Shaders/lib/weights.glsl.

import VulkanCompute

/// How a weight W (out, in) lies in device memory.
package struct WeightLayout: Sendable, Equatable {
    package let type: Shader.Weight
    /// Output features, padded with zero rows to a multiple of 4.
    package let rows: Int
    /// Output features in the file.
    package let sourceRows: Int
    /// Input features: a multiple of `columnMultiple`.
    package let columns: Int

    package init(_ type: Shader.Weight, rows: Int, columns: Int) {
        precondition(
            rows > 0 && columns > 0 && columns % Self.columnMultiple(type) == 0,
            "a \(type) weight of (\(rows), \(columns)): the columns must be a multiple of \(Self.columnMultiple(type))"
        )
        self.type = type
        self.rows = (rows + 3) / 4 * 4
        self.sourceRows = rows
        self.columns = columns
    }

    /// What the number of columns must be a multiple of; other weights have to be widened or padded by the loader.
    package static func columnMultiple(_ type: Shader.Weight) -> Int {
        switch type {
        case .f32, .f16, .bf16: 4
        case .q8_0, .q4_0, .q4_1, .mxfp4: 32
        case .q4_k, .q5_k, .q6_k: 256
        }
    }

    var isQuantised: Bool { Self.columnMultiple(type) > 4 }

    /// Bytes of one row in the file: plain numbers, or GGUF blocks.
    package var sourceRowByteCount: Int {
        switch type {
        case .f32: columns * 4
        case .f16, .bf16: columns * 2
        case .q8_0: columns / 32 * 34
        case .q4_0: columns / 32 * 18
        case .q4_1: columns / 32 * 20
        case .q4_k: columns / 256 * 144
        case .q5_k: columns / 256 * 176
        case .q6_k: columns / 256 * 210
        case .mxfp4: columns / 32 * 17
        }
    }

    /// Bytes of a tile, that is of 16 weights.
    var tileByteCount: Int {
        switch type {
        case .f32: 64
        case .f16, .bf16: 32
        case .q8_0: 16
        case .q4_0, .q4_1, .q4_k, .mxfp4: 8
        case .q5_k: 10
        case .q6_k: 12
        }
    }

    /// Bytes of the scales of four rows and 32 columns.
    var scaleByteCount: Int {
        switch type {
        case .f32, .f16, .bf16: 0
        case .q8_0, .q4_0: 8
        case .q4_1: 16
        case .q4_k, .q5_k, .q6_k: 10
        case .mxfp4: 4
        }
    }

    /// Bytes of four rows' tiles, and of their scales.
    var bandTileByteCount: Int { columns / 4 * tileByteCount }
    var bandScaleByteCount: Int { columns / 32 * scaleByteCount }

    package var tilesByteCount: Int { rows / 4 * bandTileByteCount }
    package var scalesByteCount: Int { rows / 4 * bandScaleByteCount }
    /// Device memory that the weight takes.
    package var byteCount: Int { tilesByteCount + scalesByteCount }

    /// Bytes of one element of the shader's binding, what a texel limit counts.
    var tileTexelByteCount: Int {
        switch type {
        case .q4_0, .q4_1, .q4_k, .mxfp4: 8
        default: 16
        }
    }

    /// Rows of the file that are repacked at once: about a mebibyte of tiles.
    package var uploads: [Range<Int>] {
        let step = max(1, (1 << 20) / bandTileByteCount) * 4
        return stride(from: 0, to: sourceRows, by: step).map { $0..<min($0 + step, sourceRows) }
    }

    /// The smallest run of rows whose ends can be bound: both planes, and an adapter's rows beside them, are aligned.
    func rowGranule(alignment: Int, rank: Int) -> Int {
        var bands = 1
        while [bandTileByteCount, bandScaleByteCount, rank * 16].contains(where: {
            bands * $0 % alignment != 0
        }) {
            bands *= 2
        }
        return bands * 4
    }
}

package struct Weight: Sendable {
    package let layout: WeightLayout
    package let tiles: BufferSlice
    package let scales: BufferSlice?

    package init(_ layout: WeightLayout, tiles: BufferSlice, scales: BufferSlice?) {
        precondition(
            tiles.byteCount == layout.tilesByteCount && (scales?.byteCount ?? 0) == layout.scalesByteCount,
            "the planes of '\(tiles.buffer.label)' do not fit (\(layout.rows), \(layout.columns)) \(layout.type)"
        )
        self.layout = layout
        self.tiles = tiles
        self.scales = scales
    }

    /// A range of rows that starts at a multiple of four, and where it is to be bound at one of the layout's granule.
    package func rows(_ range: Range<Int>) -> Weight {
        let part = WeightLayout(layout.type, rows: range.count, columns: layout.columns)
        let band = range.lowerBound / 4
        return Weight(
            part, tiles: tiles.slice(band * layout.bandTileByteCount, byteCount: part.tilesByteCount),
            scales: scales?.slice(band * layout.bandScaleByteCount, byteCount: part.scalesByteCount))
    }
}

extension WeightLayout {
    /// The layout of all rows one after the other; nil where types, widths or limits are against it.
    static func joined(_ layouts: [WeightLayout], _ capabilities: Capabilities) -> WeightLayout? {
        guard let first = layouts.first else { return nil }
        let granule = first.rowGranule(alignment: capabilities.bindingAlignment, rank: 0)
        let fits = layouts.allSatisfy {
            $0.type == first.type && $0.columns == first.columns && $0.rows == $0.sourceRows
                && $0.rows % granule == 0
        }
        let whole = WeightLayout(
            first.type, rows: layouts.reduce(0) { $0 + $1.rows }, columns: first.columns)
        return fits && whole.tilesByteCount <= capabilities.maxAllocation ? whole : nil
    }
}

extension Weight {
    /// Weights that lie one behind the other, as one; nil where they do not.
    package static func joined(_ weights: [Weight]) -> Weight? {
        guard let first = weights.first else { return nil }
        var rows = 0
        for weight in weights {
            let band = rows / 4
            guard weight.layout.type == first.layout.type, weight.layout.columns == first.layout.columns,
                weight.tiles.buffer === first.tiles.buffer,
                weight.tiles.offset == first.tiles.offset + band * first.layout.bandTileByteCount,
                weight.scales?.buffer === first.scales?.buffer,
                (weight.scales?.offset ?? 0)
                    == (first.scales?.offset ?? 0) + band * first.layout.bandScaleByteCount
            else { return nil }
            rows += weight.layout.rows
        }
        let whole = WeightLayout(first.layout.type, rows: rows, columns: first.layout.columns)
        return Weight(
            whole, tiles: first.tiles.buffer.slice(first.tiles.offset, byteCount: whole.tilesByteCount),
            scales: first.scales.map { $0.buffer.slice($0.offset, byteCount: whole.scalesByteCount) })
    }
}

extension Device {
    /// Memory for weights: one run of it where they can be seen as one weight, so that one product can run them all.
    package func makeWeights(_ layouts: [WeightLayout], labels: [String]) throws(VulkanError) -> [Weight] {
        guard let whole = WeightLayout.joined(layouts, capabilities), layouts.count > 1 else {
            var weights: [Weight] = []
            for (layout, label) in zip(layouts, labels) {
                weights.append(try makeWeight(layout, label: label))
            }
            return weights
        }
        let weight = try makeWeight(whole, label: labels.joined(separator: ", "))
        var first = 0
        return layouts.map { layout in
            defer { first += layout.rows }
            return weight.rows(first..<(first + layout.rows))
        }
    }

    /// Memory for a weight, to be filled by `upload(_:into:)`.
    package func makeWeight(_ layout: WeightLayout, label: String) throws(VulkanError) -> Weight {
        let tiles = try makeBuffer(byteCount: layout.tilesByteCount, label: label).slice()
        let scales =
            layout.scalesByteCount == 0
            ? nil : try makeBuffer(byteCount: layout.scalesByteCount, label: "\(label) scales").slice()
        return Weight(layout, tiles: tiles, scales: scales)
    }

    /// Repacks a weight's rows, as they lie in the file, into device memory.
    package func upload(_ source: UnsafeRawBufferPointer, into weight: Weight) throws(VulkanError) {
        let (layout, size) = (weight.layout, weight.layout.sourceRowByteCount)
        precondition(
            source.count == layout.sourceRows * size,
            "\(source.count) bytes for (\(layout.sourceRows), \(layout.columns)) \(layout.type)")
        for rows in layout.uploads {
            let part = source[rows.lowerBound * size..<rows.upperBound * size]
            try upload(UnsafeRawBufferPointer(rebasing: part), rows: rows, of: weight)
        }
    }

    /// Repacks one of the layout's `uploads`, so that no second copy of the weight need exist.
    package func upload(
        _ source: UnsafeRawBufferPointer, rows: Range<Int>, of weight: Weight
    ) throws(VulkanError) {
        let part = WeightLayout(weight.layout.type, rows: rows.count, columns: weight.layout.columns)
        precondition(source.count == rows.count * part.sourceRowByteCount && rows.lowerBound % 4 == 0)
        let band = rows.lowerBound / 4
        let tiles = weight.tiles.slice(band * part.bandTileByteCount, byteCount: part.tilesByteCount)
        let scales = weight.scales?.slice(band * part.bandScaleByteCount, byteCount: part.scalesByteCount)
        if let mapped = tiles.cachedMapping, scales == nil || scales?.cachedMapping != nil {
            part.repack(
                source, bands: 0..<part.rows / 4, tiles: .init(start: mapped, count: part.tilesByteCount),
                scales: .init(start: scales?.cachedMapping, count: part.scalesByteCount))
            return
        }
        var scaleBytes = [UInt8](repeating: 0, count: part.scalesByteCount)
        let tileBytes = [UInt8](unsafeUninitializedCapacity: part.tilesByteCount) { tiles, tileCount in
            scaleBytes.withUnsafeMutableBytes {
                part.repack(
                    source, bands: 0..<part.rows / 4, tiles: UnsafeMutableRawBufferPointer(tiles), scales: $0)
            }
            tileCount = part.tilesByteCount
        }
        try upload(tileBytes, into: tiles)
        if let scales { try upload(scaleBytes, into: scales) }
    }
}
