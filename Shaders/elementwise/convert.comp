// y = x in another floating-point format, rounded to nearest even, four numbers a turn.
#version 450
//! variants FROM = F32 F16 BF16
//! variants TO = F32 F16 BF16
#include "lib/stripe.glsl"

#if defined(FROM_F32)
#define FOUR_X uvec4
#else
#define FOUR_X uvec2
#endif
#if defined(TO_F32)
#define FOUR_Y uvec4
#else
#define FOUR_Y uvec2
#endif

layout(std430, binding = 0) writeonly buffer Y { FOUR_Y y[]; };
layout(std430, binding = 1) readonly buffer X { FOUR_X x[]; };

layout(push_constant) uniform Push {
    uint groupBase;
    uint count4;
} push;

// Bits of a float to those of a 16-bit format, in the low half.
uint half16(uint bits) {
    uint magnitude = bits & 0x7fffffffu;
    uint rounded;
    if (magnitude > 0x7f800000u) rounded = 0x7e00u;
    else if (magnitude >= 0x477ff000u) rounded = 0x7c00u; // rounds to 65536 or above
    else if (magnitude < 0x38800000u)                     // below 2^-14: the sum's rounding makes the subnormal
        rounded = floatBitsToUint(uintBitsToFloat(magnitude) + 0.5) - 0x3f000000u;
    else rounded = (magnitude - 0x38000000u + 0xfffu + (magnitude >> 13 & 1u)) >> 13;
    return bits >> 16 & 0x8000u | rounded;
}

uint brain16(uint bits) {
    if ((bits & 0x7fffffffu) > 0x7f800000u) return bits >> 16 | 0x40u;
    return (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16;
}

uvec4 floats(FOUR_X four) {
#if defined(FROM_F32)
    return four;
#elif defined(FROM_F16)
    return floatBitsToUint(vec4(unpackHalf2x16(four.x), unpackHalf2x16(four.y)));
#else
    return uvec4(four.x << 16, four.x & 0xffff0000u, four.y << 16, four.y & 0xffff0000u);
#endif
}

FOUR_Y stored(uvec4 four) {
#if defined(TO_F32)
    return four;
#elif defined(TO_F16)
    return uvec2(half16(four.x) | half16(four.y) << 16, half16(four.z) | half16(four.w) << 16);
#else
    return uvec2(brain16(four.x) | brain16(four.y) << 16, brain16(four.z) | brain16(four.w) << 16);
#endif
}

void main() {
    FOR_EACH4(i, gl_WorkGroupID.x + push.groupBase, push.count4)
        y[i] = stored(floats(x[i]));
}
