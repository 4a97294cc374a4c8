// A frozen weight W (out, in) lies in tiles of 4 × 4, row by row inside a tile; tile (o, i) is number o·in/4 + i. So
// x·Wᵀ and dy·W both read whole tiles. Quantised, w = d·q (+ m): one d (and m) per row and 32 inputs, as halves, those
// of a tile's four rows side by side at scale o·in/32 + i/8. readTile only loads, unpackTile only computes, so that a kernel can
// multiply something else until the loads are there.
#extension GL_EXT_control_flow_attributes : require
#include "lib/weight_words.glsl"

#if defined(WEIGHT_F32)
WEIGHT_INPUT(WEIGHT_BINDING, vec4, rgba32f, imageBuffer, weightRows);
struct PackedTile { vec4 rows[4]; };

PackedTile readTile(uint tile, uint scale) {
    PackedTile packed;
    [[unroll]] for (uint r = 0; r < 4; r++) packed.rows[r] = WEIGHT_LOAD(vec4, weightRows, tile * 4 + r);
    return packed;
}

void unpackTile(PackedTile packed, out vec4 rows[4]) { rows = packed.rows; }
#endif

#if defined(WEIGHT_F16) || defined(WEIGHT_BF16)
#if defined(WEIGHT_F16)
#define NUMBERS halves
#else
#define NUMBERS brainHalves
#endif
WEIGHT_INPUT(WEIGHT_BINDING, uvec4, rgba32ui, uimageBuffer, weightTiles);
struct PackedTile { uvec4 upper, lower; };

PackedTile readTile(uint tile, uint scale) {
    return PackedTile(WEIGHT_LOAD(uvec4, weightTiles, tile * 2), WEIGHT_LOAD(uvec4, weightTiles, tile * 2 + 1));
}

void unpackTile(PackedTile packed, out vec4 rows[4]) {
    rows = vec4[4](NUMBERS(packed.upper.xy), NUMBERS(packed.upper.zw), NUMBERS(packed.lower.xy), NUMBERS(packed.lower.zw));
}
#endif

#if defined(WEIGHT_Q8_0)
WEIGHT_INPUT(WEIGHT_BINDING, uvec4, rgba32ui, uimageBuffer, weightTiles);
WEIGHT_INPUT(WEIGHT_BINDING + 1, uvec2, rg32ui, uimageBuffer, weightScales);
struct PackedTile { uvec4 quants; uvec2 scales; };

PackedTile readTile(uint tile, uint scale) {
    return PackedTile(WEIGHT_LOAD(uvec4, weightTiles, tile), WEIGHT_LOAD(uvec2, weightScales, scale));
}

void unpackTile(PackedTile packed, out vec4 rows[4]) {
    vec4 d = halves(packed.scales);
    [[unroll]] for (uint r = 0; r < 4; r++) rows[r] = signedBytes(packed.quants[r]) * d[r];
}
#endif

#if defined(WEIGHT_Q4_0) || defined(WEIGHT_Q4_1) || defined(WEIGHT_Q4_K) || defined(WEIGHT_MXFP4)
WEIGHT_INPUT(WEIGHT_BINDING, uvec2, rg32ui, uimageBuffer, weightTiles);
#endif

#if !defined(WEIGHT_F32) && !defined(WEIGHT_F16) && !defined(WEIGHT_BF16) && !defined(WEIGHT_Q8_0)
uvec4 nibbleBits(uvec2 tile, uint row) {
    return (uvec4(tile[row / 2]) >> (uvec4(0, 4, 8, 12) + row % 2 * 16)) & 15u;
}

vec4 nibbles(uvec2 tile, uint row) { return vec4(nibbleBits(tile, row)); }
#endif

#if defined(WEIGHT_Q4_0)
WEIGHT_INPUT(WEIGHT_BINDING + 1, uvec2, rg32ui, uimageBuffer, weightScales);
struct PackedTile { uvec2 quants, scales; };

PackedTile readTile(uint tile, uint scale) {
    return PackedTile(WEIGHT_LOAD(uvec2, weightTiles, tile), WEIGHT_LOAD(uvec2, weightScales, scale));
}

void unpackTile(PackedTile packed, out vec4 rows[4]) {
    vec4 d = halves(packed.scales);
    [[unroll]] for (uint r = 0; r < 4; r++) rows[r] = (nibbles(packed.quants, r) - 8.0) * d[r];
}
#endif

#if defined(WEIGHT_MXFP4)
// w = 2^(e − 127)·q, q = ±0, ½, 1, 1½, 2, 3, 4, 6; e are bytes, those of a tile's four rows one word. OCP: Microscaling Formats (2023).
WEIGHT_INPUT(WEIGHT_BINDING + 1, uint, r32ui, uimageBuffer, weightScales);
struct PackedTile { uvec2 quants; uint scales; };

PackedTile readTile(uint tile, uint scale) {
    return PackedTile(WEIGHT_LOAD(uvec2, weightTiles, tile), WEIGHT_LOAD(uint, weightScales, scale));
}

const uint TWICE_FP4 = 0xC8643210u;  // 2q by its low three bits

void unpackTile(PackedTile packed, out vec4 rows[4]) {
    uvec4 e = (uvec4(packed.scales) >> uvec4(0, 8, 16, 24)) & 0xFFu;
    vec4 d = uintBitsToFloat((max(e, uvec4(1)) - 1) << 23);  // 2^(e − 128), or 0
    [[unroll]] for (uint r = 0; r < 4; r++) {
        uvec4 q = nibbleBits(packed.quants, r);
        vec4 twice = vec4((uvec4(TWICE_FP4) >> (q & 7u) * 4) & 15u);
        rows[r] = mix(twice, -twice, greaterThan(q, uvec4(7))) * d[r];
    }
}
#endif

#if defined(WEIGHT_Q4_1)
WEIGHT_INPUT(WEIGHT_BINDING + 1, uvec4, rgba32ui, uimageBuffer, weightScales);
struct PackedTile { uvec2 quants; uvec4 scales; };

PackedTile readTile(uint tile, uint scale) {
    return PackedTile(WEIGHT_LOAD(uvec2, weightTiles, tile), WEIGHT_LOAD(uvec4, weightScales, scale));
}

void unpackTile(PackedTile packed, out vec4 rows[4]) {
    vec4 d = halves(packed.scales.xy), m = halves(packed.scales.zw);
    [[unroll]] for (uint r = 0; r < 4; r++) rows[r] = nibbles(packed.quants, r) * d[r] + m[r];
}
#endif

#if defined(WEIGHT_Q4_K) || defined(WEIGHT_Q5_K) || defined(WEIGHT_Q6_K)
#include "lib/k_quants.glsl"

#if defined(WEIGHT_Q4_K)
struct PackedTile { uvec2 low; PackedScales scales; uint tile, block; };

PackedTile readTile(uint tile, uint scale) {
    return PackedTile(WEIGHT_LOAD(uvec2, weightTiles, tile), readScales(scale), tile, scale);
}
#else
WEIGHT_INPUT(WEIGHT_BINDING, uvec4, rgba32ui, uimageBuffer, weightTiles);
struct PackedTile { uvec4 two, high; PackedScales scales; uint tile, block; };

PackedTile readTile(uint tile, uint scale) {
    uint first = tile / 8 * BLOCK_WORDS;
    return PackedTile(WEIGHT_LOAD(uvec4, weightTiles, first + tile % 8 / 2),
        WEIGHT_LOAD(uvec4, weightTiles, first + 4 + highWord(tile % 8)), readScales(scale), tile, scale);
}
#endif

void unpackTile(PackedTile packed, out vec4 rows[4]) {
    uint tile = packed.tile;
#if defined(WEIGHT_Q4_K)
    uvec2 low = packed.low;
#else
    uvec2 low = tile % 2 == 0 ? packed.two.xy : packed.two.zw;
    uvec4 high = packed.high >> highShift(tile % 8);
#endif
    vec4 d, m;
    unpackScales(packed.scales, packed.block, tile % 8 / 4, d, m);
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

void loadTile(uint tile, uint scale, out vec4 rows[4]) { unpackTile(readTile(tile, scale), rows); }
