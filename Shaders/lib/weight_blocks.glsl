// A frozen weight for kernels that are bound by unpacking it (see weights.glsl for how it lies): 8 tiles at a time, that is
// 4 rows × 32 columns, w = d·q + m. loadPair fetches two tiles; unpackRow gives q of a row of one, times 1/QUANT_SCALE:
// masked where it lies instead of being shifted down, which the other factor makes up for; loadScales gives d and m.
#if defined(FAMILY_TEXEL)
#define BLOCK_INPUT(index, type, format, name) layout(binding = index, format) uniform readonly uimageBuffer name
#define BLOCK_LOAD(type, name, i) type(imageLoad(name, int(i)))
#else
#define BLOCK_INPUT(index, type, format, name) \
    layout(std430, binding = index) readonly buffer name##Storage { type name[]; }
#define BLOCK_LOAD(type, name, i) name[i]
#endif

BLOCK_INPUT(WEIGHT_BINDING, uvec4, rgba32ui, weightWords);

vec4 halves(uvec2 four) { return vec4(unpackHalf2x16(four.x), unpackHalf2x16(four.y)); }

#if defined(WEIGHT_F32)
const uint PAIR_LOADS = 8;
#elif defined(WEIGHT_F16) || defined(WEIGHT_BF16)
const uint PAIR_LOADS = 4;
#elif defined(WEIGHT_Q8_0)
const uint PAIR_LOADS = 2;
#else
const uint PAIR_LOADS = 1;
#endif

#if defined(WEIGHT_F32) || defined(WEIGHT_F16) || defined(WEIGHT_BF16)
// Plain numbers, whose columns may end inside a block: `last` is the number of the last tile that is there.
const vec4 QUANT_SCALE = vec4(1);

void loadPair(uint tile, uint last, out uvec4 words[PAIR_LOADS]) {
    const uint tileLoads = PAIR_LOADS / 2;
    [[unroll]] for (uint i = 0; i < PAIR_LOADS; i++)
        words[i] = BLOCK_LOAD(uvec4, weightWords, min(tile + i / tileLoads, last) * tileLoads + i % tileLoads);
}

vec4 unpackRow(uvec4 words[PAIR_LOADS], uint tile, uint row) {
#if defined(WEIGHT_F32)
    return uintBitsToFloat(words[tile * 4 + row]);
#else
    uvec4 two = words[tile * 2 + row / 2];
    uvec2 four = row % 2 == 0 ? two.xy : two.zw;
#if defined(WEIGHT_F16)
    return halves(four);
#else
    return uintBitsToFloat(uvec4(four.x << 16, four.x & 0xFFFF0000u, four.y << 16, four.y & 0xFFFF0000u));
#endif
#endif
}
#else
#define QUANTISED

void loadPair(uint tile, uint last, out uvec4 words[PAIR_LOADS]) {
    [[unroll]] for (uint i = 0; i < PAIR_LOADS; i++)
        words[i] = BLOCK_LOAD(uvec4, weightWords, tile / 2 * PAIR_LOADS + i);
}

#if defined(WEIGHT_Q8_0)
const vec4 QUANT_SCALE = vec4(1, 1.0 / 256, 1.0 / 65536, 1);
const float ZERO_POINT = 128;

vec4 unpackRow(uvec4 words[PAIR_LOADS], uint tile, uint row) {
    uint four = words[tile][row] ^ 0x80808080u;
    return vec4(ivec4(four & 0xFF, four & 0xFF00, four & 0xFF0000, four >> 24));
}
#else
const vec4 QUANT_SCALE = vec4(1, 1.0 / 16, 1.0 / 256, 1.0 / 4096);
const float ZERO_POINT = 8;

vec4 unpackRow(uvec4 words[PAIR_LOADS], uint tile, uint row) {
    uint four = words[0][tile * 2 + row / 2] >> (row % 2 * 16);
    return vec4(ivec4(four & 0xF, four & 0xF0, four & 0xF00, four & 0xF000));
}
#endif

#if defined(WEIGHT_Q4_1)
BLOCK_INPUT(WEIGHT_BINDING + 1, uvec4, rgba32ui, weightScales);

void loadScales(uint block, out vec4 d, out vec4 m) {
    uvec4 both = BLOCK_LOAD(uvec4, weightScales, block);
    d = halves(both.xy);
    m = halves(both.zw);
}
#else
BLOCK_INPUT(WEIGHT_BINDING + 1, uvec2, rg32ui, weightScales);

void loadScales(uint block, out vec4 d, out vec4 m) {
    d = halves(BLOCK_LOAD(uvec2, weightScales, block));
    m = -ZERO_POINT * d;
}
#endif
#endif
