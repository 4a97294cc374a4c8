// Knuth, Morris and Pratt: where bytes occur in others, in time that grows with the sum of the lengths.

struct ByteSearch {
    private let part: [UInt8]
    /// borders[i]: the longest proper beginning of part[...i] that is also its end.
    private let borders: [Int]

    init(_ part: [UInt8]) {
        self.part = part
        var borders = [Int](repeating: 0, count: part.count)
        var matched = 0
        for index in part.indices.dropFirst() {
            while matched > 0, part[index] != part[matched] { matched = borders[matched - 1] }
            if part[index] == part[matched] { matched += 1 }
            borders[index] = matched
        }
        self.borders = borders
    }

    func first(in text: ArraySlice<UInt8>) -> Int? {
        if part.isEmpty { return text.startIndex }
        var matched = 0
        for index in text.indices {
            while matched > 0, text[index] != part[matched] { matched = borders[matched - 1] }
            if text[index] == part[matched] { matched += 1 }
            if matched == part.count { return index + 1 - matched }
        }
        return nil
    }
}
