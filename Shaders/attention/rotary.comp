// Rotary position embedding in Hugging Face's half-split form, one token a workgroup, every head alike:
// (x1, x2) → (x1 cos θ − x2 sin θ, x2 cos θ + x1 sin θ), θ = position · frequency. With direction −1 it is the
// inverse, which is also the backward. y may be x.  Su et al.: RoFormer (2021).
#version 450
//! variants FAMILY = TEXEL SHARED
#include "lib/load.glsl"

layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint LANES = 8;
layout(constant_id = 1) const uint HEAD_SIZE = 64;     // a multiple of 8

layout(std430, binding = 0) writeonly buffer OutputStorage { vec4 y[]; };         // (tokens, heads · D)
INPUT4(1, x);
INPUT4(2, table);                                                                 // (positions, D): cosines, sines
layout(std430, binding = 3) readonly buffer PositionStorage { uint positions[]; };
layout(push_constant) uniform Push {
    uint groupBase;
    uint heads;
    uint lastPosition;
    float direction;
} push;

const uint HALF4 = HEAD_SIZE / 8;

void main() {
    uint token = gl_WorkGroupID.x + push.groupBase;
    uint angles = min(positions[token], push.lastPosition) * 2 * HALF4;
    uint row = token * push.heads * 2 * HALF4;
    for (uint i = gl_LocalInvocationID.x; i < push.heads * HALF4; i += LANES) {
        uint part = i % HALF4, at = row + i / HALF4 * 2 * HALF4 + part;
        vec4 cosine = LOAD4(table, angles + part), sine = LOAD4(table, angles + HALF4 + part) * push.direction;
        vec4 x1 = LOAD4(x, at), x2 = LOAD4(x, at + HALF4);
        y[at] = x1 * cosine - x2 * sine;
        y[at + HALF4] = x2 * cosine + x1 * sine;
    }
}
