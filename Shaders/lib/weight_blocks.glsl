// A frozen weight for kernels that are bound by unpacking it (weights.glsl says how it lies): a block of 8 tiles at a time,
// 4 rows × 32 columns, w = d·q + m. loadPair fetches two tiles; unpackRow gives q of a row of one, times 1/QUANT_SCALE: it
// is masked where it lies instead of being shifted down, which the other factor makes up for; loadScales gives d and m.
#include "lib/weight_words.glsl"

WEIGHT_INPUT(WEIGHT_BINDING, uvec4, rgba32ui, uimageBuffer, weightWords);

#if defined(WEIGHT_F32) || defined(WEIGHT_F16) || defined(WEIGHT_BF16)
// Plain numbers, whose columns may end inside a block: `last` is the last tile that is there.
#if defined(WEIGHT_F32)
const uint TILE_LOADS = 4;
#else
const uint TILE_LOADS = 2;
#endif
const uint PAIR_LOADS = 2 * TILE_LOADS;
const vec4 QUANT_SCALE = vec4(1);

void loadPair(uint block, uint pair, uint last, out uvec4 words[PAIR_LOADS]) {
    [[unroll]] for (uint i = 0; i < PAIR_LOADS; i++) {
        uint tile = min(block + pair * 2 + i / TILE_LOADS, last);
        words[i] = WEIGHT_LOAD(uvec4, weightWords, tile * TILE_LOADS + i % TILE_LOADS);
    }
}

vec4 unpackRow(uvec4 words[PAIR_LOADS], uint tile, uint row) {
#if defined(WEIGHT_F32)
    return uintBitsToFloat(words[tile % 2 * 4 + row]);
#else
    uvec4 two = words[tile % 2 * 2 + row / 2];
    uvec2 four = row % 2 == 0 ? two.xy : two.zw;
#if defined(WEIGHT_F16)
    return halves(four);
#else
    return brainHalves(four);
#endif
#endif
}
#else
#define QUANTISED
#endif

#if defined(WEIGHT_Q8_0)
const uint PAIR_LOADS = 2;
const vec4 QUANT_SCALE = vec4(1, 1.0 / 256, 1.0 / 65536, 1);
const float ZERO_POINT = 128;  // so that bytes are not negative

void loadPair(uint block, uint pair, uint last, out uvec4 words[PAIR_LOADS]) {
    [[unroll]] for (uint i = 0; i < 2; i++) words[i] = WEIGHT_LOAD(uvec4, weightWords, block + pair * 2 + i);
}

vec4 unpackRow(uvec4 words[PAIR_LOADS], uint tile, uint row) {
    uint four = words[tile % 2][row] ^ 0x80808080u;
    return vec4(ivec4(four & 0xFF, four & 0xFF00, four & 0xFF0000, four >> 24));
}
#elif defined(QUANTISED)
const vec4 QUANT_SCALE = vec4(1, 1.0 / 16, 1.0 / 256, 1.0 / 4096);

ivec4 maskedNibbles(uvec4 words, uint tile, uint row) {
    uint four = words[tile % 2 * 2 + row / 2] >> (row % 2 * 16);
    return ivec4(four & 0xF, four & 0xF0, four & 0xF00, four & 0xF000);
}
#endif

#if defined(WEIGHT_Q4_0) || defined(WEIGHT_Q4_1) || defined(WEIGHT_Q4_K)
const uint PAIR_LOADS = 1;
const float ZERO_POINT = 8;

void loadPair(uint block, uint pair, uint last, out uvec4 words[PAIR_LOADS]) {
    words[0] = WEIGHT_LOAD(uvec4, weightWords, block / 2 + pair);
}

vec4 unpackRow(uvec4 words[PAIR_LOADS], uint tile, uint row) { return vec4(maskedNibbles(words[0], tile, row)); }
#endif

#if defined(WEIGHT_Q4_0) || defined(WEIGHT_Q8_0)
WEIGHT_INPUT(WEIGHT_BINDING + 1, uvec2, rg32ui, uimageBuffer, weightScales);

void loadScales(uint block, uint part, out vec4 d, out vec4 m) {
    d = halves(WEIGHT_LOAD(uvec2, weightScales, block));
    m = -ZERO_POINT * d;
}
#elif defined(WEIGHT_Q4_1)
WEIGHT_INPUT(WEIGHT_BINDING + 1, uvec4, rgba32ui, uimageBuffer, weightScales);

void loadScales(uint block, uint part, out vec4 d, out vec4 m) {
    uvec4 both = WEIGHT_LOAD(uvec4, weightScales, block);
    d = halves(both.xy);
    m = halves(both.zw);
}
#elif defined(QUANTISED)
#include "lib/k_quants.glsl"
#endif

#if defined(WEIGHT_Q5_K) || defined(WEIGHT_Q6_K)
const uint PAIR_LOADS = 2;

void loadPair(uint block, uint pair, uint last, out uvec4 words[PAIR_LOADS]) {
    uint first = block / 8 * BLOCK_WORDS;
    words[0] = WEIGHT_LOAD(uvec4, weightWords, first + pair);
    words[1] = WEIGHT_LOAD(uvec4, weightWords, first + 4 + highWord(pair * 2));
}

vec4 unpackRow(uvec4 words[PAIR_LOADS], uint tile, uint row) {
    uint shift = highShift(tile % 8);
    uint high = shift < 4 ? words[1][row] << (4 - shift) : words[1][row] >> (shift - 4);
    const uint mask = HIGH_MASK << 4;
    ivec4 four = ivec4(high & mask, high & mask << 4, high & mask << 8, high & mask << 12);
    return vec4(maskedNibbles(words[0], tile, row) | four);
}
#endif

#if defined(WEIGHT_Q6_K)
const uint SCALE_PARTS = 2;  // scales of a block, which halve its columns
#else
const uint SCALE_PARTS = 1;
#endif
