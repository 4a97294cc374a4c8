// f32 rounded to 16 bits, to nearest even: binary16 and bfloat16.

package enum Half {
    package static func bits(_ value: Float) -> UInt16 {
        #if arch(arm64)
            return Float16(value).bitPattern
        #else
            // In integers: the conversion is a library call on most x86 builds.
            let bits = value.bitPattern
            let sign = UInt16(truncatingIfNeeded: bits >> 16) & 0x8000
            let magnitude = bits & 0x7fff_ffff
            if magnitude >= 0x4780_0000 {  // 65536 and above, infinity, NaN
                return sign | (magnitude > 0x7f80_0000 ? 0x7e00 : 0x7c00)
            }
            if magnitude < 0x3880_0000 {  // below 2^-14: the sum's rounding makes the subnormal
                let rounded = Float(bitPattern: magnitude) + Float(bitPattern: 0x3f00_0000)
                return sign | UInt16(truncatingIfNeeded: rounded.bitPattern &- 0x3f00_0000)
            }
            let rounded = magnitude &- 0x3800_0000 &+ 0xfff &+ (magnitude >> 13 & 1)
            return sign | UInt16(truncatingIfNeeded: rounded >> 13)
        #endif
    }

    package static func brainBits(_ value: Float) -> UInt16 {
        let bits = value.bitPattern
        return UInt16(truncatingIfNeeded: (bits &+ 0x7fff &+ (bits >> 16 & 1)) >> 16)
    }
}
