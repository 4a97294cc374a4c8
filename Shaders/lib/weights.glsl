// A frozen weight W (out, in) lies in tiles of 4 × 4, row by row inside a tile; tile (o, i) is number o·in/4 + i. So
// x·Wᵀ and dy·W both read whole tiles. Quantised, w = d·q (+ m): one d (and m) per row and 32 inputs, as halves, those
// of a tile's four rows side by side at scale o·in/32 + i/8.
#extension GL_EXT_control_flow_attributes : require
#include "lib/weight_words.glsl"

#if defined(WEIGHT_F32)
WEIGHT_INPUT(WEIGHT_BINDING, vec4, rgba32f, imageBuffer, weightRows);

void loadTile(uint tile, uint scale, out vec4 rows[4]) {
    [[unroll]] for (uint r = 0; r < 4; r++) rows[r] = WEIGHT_LOAD(vec4, weightRows, tile * 4 + r);
}
#endif

#if defined(WEIGHT_F16) || defined(WEIGHT_BF16)
#if defined(WEIGHT_F16)
#define NUMBERS halves
#else
#define NUMBERS brainHalves
#endif
WEIGHT_INPUT(WEIGHT_BINDING, uvec4, rgba32ui, uimageBuffer, weightTiles);

void loadTile(uint tile, uint scale, out vec4 rows[4]) {
    uvec4 upper = WEIGHT_LOAD(uvec4, weightTiles, tile * 2);
    uvec4 lower = WEIGHT_LOAD(uvec4, weightTiles, tile * 2 + 1);
    rows = vec4[4](NUMBERS(upper.xy), NUMBERS(upper.zw), NUMBERS(lower.xy), NUMBERS(lower.zw));
}
#endif

#if defined(WEIGHT_Q8_0)
WEIGHT_INPUT(WEIGHT_BINDING, uvec4, rgba32ui, uimageBuffer, weightTiles);
WEIGHT_INPUT(WEIGHT_BINDING + 1, uvec2, rg32ui, uimageBuffer, weightScales);

void loadTile(uint tile, uint scale, out vec4 rows[4]) {
    uvec4 quants = WEIGHT_LOAD(uvec4, weightTiles, tile);
    vec4 d = halves(WEIGHT_LOAD(uvec2, weightScales, scale));
    [[unroll]] for (uint r = 0; r < 4; r++)
        rows[r] = signedBytes(quants[r]) * d[r];
}
#endif

#if defined(WEIGHT_Q4_0) || defined(WEIGHT_Q4_1) || defined(WEIGHT_Q4_K)
WEIGHT_INPUT(WEIGHT_BINDING, uvec2, rg32ui, uimageBuffer, weightTiles);
#endif

#if defined(WEIGHT_Q4_0) || defined(WEIGHT_Q4_1) || defined(WEIGHT_Q4_K) || defined(WEIGHT_Q5_K) || defined(WEIGHT_Q6_K)
vec4 nibbles(uvec2 tile, uint row) {
    return vec4((uvec4(tile[row / 2]) >> (uvec4(0, 4, 8, 12) + row % 2 * 16)) & 15u);
}
#endif

#if defined(WEIGHT_Q4_0)
WEIGHT_INPUT(WEIGHT_BINDING + 1, uvec2, rg32ui, uimageBuffer, weightScales);

void loadTile(uint tile, uint scale, out vec4 rows[4]) {
    uvec2 quants = WEIGHT_LOAD(uvec2, weightTiles, tile);
    vec4 d = halves(WEIGHT_LOAD(uvec2, weightScales, scale));
    [[unroll]] for (uint r = 0; r < 4; r++) rows[r] = (nibbles(quants, r) - 8.0) * d[r];
}
#endif

#if defined(WEIGHT_Q4_1)
WEIGHT_INPUT(WEIGHT_BINDING + 1, uvec4, rgba32ui, uimageBuffer, weightScales);

void loadTile(uint tile, uint scale, out vec4 rows[4]) {
    uvec2 quants = WEIGHT_LOAD(uvec2, weightTiles, tile);
    uvec4 both = WEIGHT_LOAD(uvec4, weightScales, scale);
    vec4 d = halves(both.xy), m = halves(both.zw);
    [[unroll]] for (uint r = 0; r < 4; r++) rows[r] = nibbles(quants, r) * d[r] + m[r];
}
#endif

#if defined(WEIGHT_Q4_K) || defined(WEIGHT_Q5_K) || defined(WEIGHT_Q6_K)
#include "lib/k_quants.glsl"

#if !defined(WEIGHT_Q4_K)
WEIGHT_INPUT(WEIGHT_BINDING, uvec4, rgba32ui, uimageBuffer, weightTiles);
#endif

void loadTile(uint tile, uint scale, out vec4 rows[4]) {
#if defined(WEIGHT_Q4_K)
    uvec2 low = WEIGHT_LOAD(uvec2, weightTiles, tile);
#else
    uint block = tile / 8 * BLOCK_WORDS;
    uvec4 two = WEIGHT_LOAD(uvec4, weightTiles, block + tile % 8 / 2);
    uvec2 low = tile % 2 == 0 ? two.xy : two.zw;
    uvec4 high = WEIGHT_LOAD(uvec4, weightTiles, block + 4 + highWord(tile % 8)) >> highShift(tile % 8);
#endif
    vec4 d, m;
    loadScales(scale, tile % 8 / 4, d, m);
    [[unroll]] for (uint r = 0; r < 4; r++) {
        vec4 q = nibbles(low, r);
#if !defined(WEIGHT_Q4_K)
        q += vec4(((uvec4(high[r]) >> uvec4(0, 4, 8, 12)) & HIGH_MASK) << 4);
#endif
#if defined(WEIGHT_Q6_K)
        rows[r] = (q - 32.0) * d[r];
#else
        rows[r] = q * d[r] + m[r];
#endif
    }
}
#endif
