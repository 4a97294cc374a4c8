// How a weight's words are read in the kernel's FAMILY, and small numbers out of words, by bit operations only: a device
// needs no halves or bytes.
#if defined(FAMILY_TEXEL)
#define WEIGHT_INPUT(index, type, format, image, name) layout(binding = index, format) uniform readonly image name
#define WEIGHT_LOAD(type, name, i) type(imageLoad(name, int(i)))
#else
#define WEIGHT_INPUT(index, type, format, image, name) \
    layout(std430, binding = index) readonly buffer name##Storage { type name[]; }
#define WEIGHT_LOAD(type, name, i) name[i]
#endif

vec4 halves(uvec2 four) { return vec4(unpackHalf2x16(four.x), unpackHalf2x16(four.y)); }

vec4 brainHalves(uvec2 four) {
    return uintBitsToFloat(uvec4(four.x << 16, four.x & 0xFFFF0000u, four.y << 16, four.y & 0xFFFF0000u));
}

vec4 unsignedBytes(uint four) { return vec4((uvec4(four) >> uvec4(0, 8, 16, 24)) & 0xFFu); }
vec4 signedBytes(uint four) { return vec4((ivec4(four) << ivec4(24, 16, 8, 0)) >> 24); }
