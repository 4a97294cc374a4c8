// PyTorch's numbers for a seed on the CPU: MT19937 (Matsumoto & Nishimura 1998), of each number its last 24 bits as a fraction.
// PEFT makes VeRA's matrices from it again whenever it loads an adapter.

struct MersenneTwister {
    private static let size = 624
    private static let distance = 397
    private var state: [UInt32]
    private var next = size

    init(seed: UInt32) {
        state = [seed]
        state.reserveCapacity(Self.size)
        for i in 1..<Self.size {
            let last = state[i - 1]
            state.append(1_812_433_253 &* (last ^ (last >> 30)) &+ UInt32(i))
        }
    }

    private mutating func bits() -> UInt32 {
        if next == Self.size { twist() }
        var y = state[next]
        next += 1
        y ^= y >> 11
        y ^= (y << 7) & 0x9D2C_5680
        y ^= (y << 15) & 0xEFC6_0000
        return y ^ (y >> 18)
    }

    private mutating func twist() {
        for i in 0..<Self.size {
            let y = (state[i] & 0x8000_0000) | (state[(i + 1) % Self.size] & 0x7FFF_FFFF)
            state[i] = state[(i + Self.distance) % Self.size] ^ (y >> 1) ^ (y & 1 == 0 ? 0 : 0x9908_B0DF)
        }
        next = 0
    }

    /// In [-bound, bound).
    mutating func uniform(within bound: Float) -> Float {
        Float(bits() & 0xFF_FFFF) * 0x1p-24 * (2 * bound) - bound
    }
}
