// How numbers lie in a file: plain types and GGUF's block types. A block holds `blockElements` numbers of one
// row in `blockBytes` bytes. Reference: ggml's type table and the safetensors format.

package enum StorageType: String, Sendable, CaseIterable {
    case f32 = "F32"
    case f16 = "F16"
    case bf16 = "BF16"
    case f64 = "F64"
    case bool = "BOOL"
    case u8 = "U8"
    case u16 = "U16"
    case u32 = "U32"
    case u64 = "U64"
    case i8 = "I8"
    case i16 = "I16"
    case i32 = "I32"
    case i64 = "I64"
    case f8e5m2 = "F8_E5M2"
    case f8e4m3 = "F8_E4M3"
    case f8e8m0 = "F8_E8M0"
    case c64 = "C64"
    case q4_0 = "Q4_0"
    case q4_1 = "Q4_1"
    case q5_0 = "Q5_0"
    case q5_1 = "Q5_1"
    case q8_0 = "Q8_0"
    case q8_1 = "Q8_1"
    case q2_K = "Q2_K"
    case q3_K = "Q3_K"
    case q4_K = "Q4_K"
    case q5_K = "Q5_K"
    case q6_K = "Q6_K"
    case q8_K = "Q8_K"
    case iq1_s = "IQ1_S"
    case iq1_m = "IQ1_M"
    case iq2_xxs = "IQ2_XXS"
    case iq2_xs = "IQ2_XS"
    case iq2_s = "IQ2_S"
    case iq3_xxs = "IQ3_XXS"
    case iq3_s = "IQ3_S"
    case iq4_nl = "IQ4_NL"
    case iq4_xs = "IQ4_XS"
    case tq1_0 = "TQ1_0"
    case tq2_0 = "TQ2_0"
    case mxfp4 = "MXFP4"
    case nvfp4 = "NVFP4"
    case q1_0 = "Q1_0"

    package var name: String { rawValue }

    package var blockElements: Int { layout.elements }
    package var blockBytes: Int { layout.bytes }

    private var layout: (elements: Int, bytes: Int) {
        switch self {
        case .bool, .u8, .i8, .f8e5m2, .f8e4m3, .f8e8m0: (1, 1)
        case .f16, .bf16, .u16, .i16: (1, 2)
        case .f32, .u32, .i32: (1, 4)
        case .f64, .u64, .i64, .c64: (1, 8)
        case .q4_0: (32, 18)
        case .q4_1: (32, 20)
        case .q5_0: (32, 22)
        case .q5_1: (32, 24)
        case .q8_0: (32, 34)
        case .q8_1: (32, 40)
        case .q2_K: (256, 84)
        case .q3_K: (256, 110)
        case .q4_K: (256, 144)
        case .q5_K: (256, 176)
        case .q6_K: (256, 210)
        case .q8_K: (256, 292)
        case .iq1_s: (256, 50)
        case .iq1_m: (256, 56)
        case .iq2_xxs: (256, 66)
        case .iq2_xs: (256, 74)
        case .iq2_s: (256, 82)
        case .iq3_xxs: (256, 98)
        case .iq3_s: (256, 110)
        case .iq4_nl: (32, 18)
        case .iq4_xs: (256, 136)
        case .tq1_0: (256, 54)
        case .tq2_0: (256, 66)
        case .mxfp4: (32, 17)
        case .nvfp4: (64, 36)
        case .q1_0: (128, 18)
        }
    }

    /// Bytes of a row, nil where the row is not whole blocks or the product overflows.
    package func rowBytes(columns: Int) -> Int? {
        let (blocks, rest) = columns.quotientAndRemainder(dividingBy: blockElements)
        let (bytes, overflow) = blocks.multipliedReportingOverflow(by: blockBytes)
        return rest == 0 && columns >= 0 && !overflow ? bytes : nil
    }

    /// GGUF's number of the type.
    package var ggufNumber: UInt32? { StorageType.ggufNumbers.first { $0.value == self }?.key }

    package init?(ggufNumber: UInt32) {
        guard let type = StorageType.ggufNumbers[ggufNumber] else { return nil }
        self = type
    }

    private static let ggufNumbers: [UInt32: StorageType] = [
        0: .f32, 1: .f16, 2: .q4_0, 3: .q4_1, 6: .q5_0, 7: .q5_1, 8: .q8_0, 9: .q8_1, 10: .q2_K, 11: .q3_K,
        12: .q4_K, 13: .q5_K, 14: .q6_K, 15: .q8_K, 16: .iq2_xxs, 17: .iq2_xs, 18: .iq3_xxs, 19: .iq1_s,
        20: .iq4_nl, 21: .iq3_s, 22: .iq2_s, 23: .iq4_xs, 24: .i8, 25: .i16, 26: .i32, 27: .i64, 28: .f64,
        29: .iq1_m, 30: .bf16, 34: .tq1_0, 35: .tq2_0, 39: .mxfp4, 40: .nvfp4, 41: .q1_0,
    ]

    /// Safetensors writes tensors in descending order of this rank, then by name.
    package var safetensorsRank: Int? { StorageType.safetensorsTypes.firstIndex(of: self) }

    private static let safetensorsTypes: [StorageType] = [
        .bool, .u8, .i8, .f8e5m2, .f8e4m3, .f8e8m0, .i16, .u16, .f16, .bf16, .i32, .u32, .f32, .c64, .f64,
        .i64,
        .u64,
    ]
}

/// The product of a shape; nil where a dimension is negative or the product overflows, were zeros taken as
/// ones.
package func checkedProduct(_ shape: some Collection<Int>) -> Int? {
    var product = 1
    for size in shape where size != 0 {
        let (next, overflow) = product.multipliedReportingOverflow(by: size)
        guard size > 0, !overflow else { return nil }
        product = next
    }
    return shape.contains(0) ? 0 : product
}
