// GGUF's k-quants in the layout of weights.glsl. A block of 8 tiles (4 rows × 32 inputs) keeps the low nibbles of its tiles
// as Q4_0 does, then what its quants have above four bits: word r of the four belongs to row r, and of a tile's four
// columns the bits lie four apart, as its nibbles do.
//   Q4_K none   Q5_K 1 bit, all 8 tiles in one run of words   Q6_K 2 bits, tiles 0 to 3 in a first run, 4 to 7 in a second
// Scales, 5 words of four for 4 rows × 256 inputs: d and dmin of the rows as halves, then per block one byte a row for
// the scale and one for the minimum (Q6_K: for the scales of both its halves).
//   Q4_K Q5_K  w = d·scale·q − dmin·minimum      Q6_K  w = d·scale·(q − 32)
#if defined(WEIGHT_Q5_K)
const uint HIGH_MASK = 1, BLOCK_WORDS = 5;
uint highWord(uint tile) { return 0; }
uint highShift(uint tile) { return tile / 4 * 16 + tile % 4; }
#elif defined(WEIGHT_Q6_K)
const uint HIGH_MASK = 3, BLOCK_WORDS = 6;
uint highWord(uint tile) { return tile / 4; }
uint highShift(uint tile) { return tile % 4 / 2 * 16 + tile % 2 * 2; }
#endif

WEIGHT_INPUT(WEIGHT_BINDING + 1, uvec4, rgba32ui, uimageBuffer, weightScales);

struct PackedScales {
    uvec4 super, two;  // d and dmin of the rows; scales and minima of the block and of its neighbour
};

PackedScales readScales(uint block) {
    uint first = block / 8 * 5;
    return PackedScales(WEIGHT_LOAD(uvec4, weightScales, first), WEIGHT_LOAD(uvec4, weightScales, first + 1 + block % 8 / 2));
}

// w = d·q + m for half a block, that is 16 inputs; products are exact, only the sum rounds.
void unpackScales(PackedScales packed, uint block, uint part, out vec4 d, out vec4 m) {
    uvec4 super = packed.super;
    uvec2 own = block % 2 == 0 ? packed.two.xy : packed.two.zw;
#if defined(WEIGHT_Q6_K)
    d = halves(super.xy) * signedBytes(part == 0 ? own.x : own.y);
    m = -32.0 * d;
#else
    d = halves(super.xy) * unsignedBytes(own.x);
    m = -halves(super.zw) * unsignedBytes(own.y);
#endif
}

void loadScales(uint block, uint part, out vec4 d, out vec4 m) {
    unpackScales(readScales(block), block, part, d, m);
}
