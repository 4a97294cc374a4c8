// Inputs read and outputs written four floats at a time, in the way that is fast for the kernel's FAMILY. On a software
// rasteriser a formatted load is a branch-free 128-bit load per lane, a storage-buffer load a loop over lanes; a store is a loop
// over lanes and words, so words of 64 bits halve it.
//   INPUT4(0, x);  vec4 four = LOAD4(x, i);      OUTPUT4(1, y);  STORE4(y, i, four);
#if defined(FAMILY_TEXEL)
#extension GL_EXT_shader_explicit_arithmetic_types_int64 : require
#define INPUT4(index, name) layout(binding = index, rgba32f) uniform readonly imageBuffer name
#define LOAD4(name, i) imageLoad(name, int(i))
#define OUTPUT4(index, name) layout(std430, binding = index) writeonly buffer name##Storage { u64vec2 name[]; }
#define STORE4(name, i, four) name[i] = pairs(four)
u64vec2 pairs(vec4 four) {
    uvec4 bits = floatBitsToUint(four);
    return u64vec2(packUint2x32(bits.xy), packUint2x32(bits.zw));
}
#else
#define INPUT4(index, name) layout(std430, binding = index) readonly buffer name##Storage { vec4 name[]; }
#define LOAD4(name, i) name[i]
#define OUTPUT4(index, name) layout(std430, binding = index) writeonly buffer name##Storage { vec4 name[]; }
#define STORE4(name, i, four) name[i] = four
#endif
