// Rotary position embedding in Hugging Face's half-split form, one token a workgroup, every head alike, by the angle
// θ = position · frequency of each pair. With direction −1 it is the inverse, which is also the backward. y may be x.
// Su et al.: RoFormer (2021).
#version 450
//! variants FAMILY = TEXEL SHARED
#include "lib/load.glsl"

layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint LANES = 8;
layout(constant_id = 1) const uint HEAD_SIZE = 64;     // a multiple of 8
#include "attention/rotate.glsl"

OUTPUT4(0, y);         // (tokens, heads · D)
INPUT4(1, x);
INPUT4(2, table);                                                                 // (positions, D): cosines, sines
layout(std430, binding = 3) readonly buffer PositionStorage { uint positions[]; };
layout(push_constant) uniform Push {
    uint groupBase;
    uint heads;
    uint lastPosition;
    float direction;
} push;

void main() {
    uint token = gl_WorkGroupID.x + push.groupBase;
    uint angles = min(positions[token], push.lastPosition) * 2 * HALF4;
    uint row = token * push.heads * 2 * HALF4;
    for (uint i = gl_LocalInvocationID.x; i < push.heads * HALF4; i += LANES)
        ROTATE(y, row, x, row, table, angles, push.direction, i)
}
