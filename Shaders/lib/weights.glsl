// A frozen weight W (out, in) lies in tiles of 4 × 4, row by row inside a tile; tile (o, i) is number o·in/4 + i. So
// x·Wᵀ and dy·W both read whole tiles. Quantised, w = d·q (+ m): one d (and m) per row and 32 inputs, as halves, those
// of a tile's four rows side by side at scale o·in/32 + i/8. Bit operations only: a device needs no halves or bytes.
#extension GL_EXT_control_flow_attributes : require

#if defined(FAMILY_TEXEL)
#define WEIGHT_INPUT(index, type, format, image, name) layout(binding = index, format) uniform readonly image name
#define WEIGHT_LOAD(type, name, i) type(imageLoad(name, int(i)))
#else
#define WEIGHT_INPUT(index, type, format, image, name) \
    layout(std430, binding = index) readonly buffer name##Storage { type name[]; }
#define WEIGHT_LOAD(type, name, i) name[i]
#endif

#if defined(WEIGHT_F32)
WEIGHT_INPUT(WEIGHT_BINDING, vec4, rgba32f, imageBuffer, weightRows);

void loadTile(uint tile, uint scale, out vec4 rows[4]) {
    [[unroll]] for (uint r = 0; r < 4; r++) rows[r] = WEIGHT_LOAD(vec4, weightRows, tile * 4 + r);
}
#endif

#if defined(WEIGHT_F16) || defined(WEIGHT_Q8_0) || defined(WEIGHT_Q4_0) || defined(WEIGHT_Q4_1)
vec4 halves(uvec2 four) { return vec4(unpackHalf2x16(four.x), unpackHalf2x16(four.y)); }
#endif

#if defined(WEIGHT_BF16)
vec4 halves(uvec2 four) {
    return uintBitsToFloat(uvec4(four.x << 16, four.x & 0xFFFF0000u, four.y << 16, four.y & 0xFFFF0000u));
}
#endif

#if defined(WEIGHT_F16) || defined(WEIGHT_BF16)
WEIGHT_INPUT(WEIGHT_BINDING, uvec4, rgba32ui, uimageBuffer, weightTiles);

void loadTile(uint tile, uint scale, out vec4 rows[4]) {
    uvec4 upper = WEIGHT_LOAD(uvec4, weightTiles, tile * 2);
    uvec4 lower = WEIGHT_LOAD(uvec4, weightTiles, tile * 2 + 1);
    rows = vec4[4](halves(upper.xy), halves(upper.zw), halves(lower.xy), halves(lower.zw));
}
#endif

#if defined(WEIGHT_Q8_0)
WEIGHT_INPUT(WEIGHT_BINDING, uvec4, rgba32ui, uimageBuffer, weightTiles);
WEIGHT_INPUT(WEIGHT_BINDING + 1, uvec2, rg32ui, uimageBuffer, weightScales);

void loadTile(uint tile, uint scale, out vec4 rows[4]) {
    uvec4 quants = WEIGHT_LOAD(uvec4, weightTiles, tile);
    vec4 d = halves(WEIGHT_LOAD(uvec2, weightScales, scale));
    [[unroll]] for (uint r = 0; r < 4; r++)
        rows[r] = vec4((ivec4(quants[r]) << ivec4(24, 16, 8, 0)) >> 24) * d[r];
}
#endif

#if defined(WEIGHT_Q4_0) || defined(WEIGHT_Q4_1)
WEIGHT_INPUT(WEIGHT_BINDING, uvec2, rg32ui, uimageBuffer, weightTiles);

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
