// Rotary position embedding, one token a workgroup, every head alike, by the angle θ = position · frequency of each pair.
// With direction −1 it is the transpose, which is the backward, and the inverse where the table is not scaled. y may be x.
// Su et al.: RoFormer (2021).
#version 450
//! variants FAMILY = TEXEL SHARED
#include "lib/load.glsl"
#include "attention/rotate.glsl"

OUTPUT4(0, y);         // (tokens, heads · D)
INPUT4(1, x);
INPUT4(2, table);                                                                 // (positions, R): cosines, sines
layout(std430, binding = 3) readonly buffer PositionStorage { uint positions[]; };
layout(push_constant) uniform Push {
    uint groupBase;
    uint heads;
    uint lastPosition;
    float direction;
    uint yPitch;       // vec4s from row to row
    uint yColumn;      // vec4s in front of the first
    uint xPitch;
    uint xColumn;
} push;

void main() {
    uint token = gl_WorkGroupID.x + push.groupBase;
    uint angles = min(positions[token], push.lastPosition) * ROTARY_SIZE;
    uint yRow = token * push.yPitch + push.yColumn, xRow = token * push.xPitch + push.xColumn;
    ROTATE(y, yRow, x, xRow, table, angles, push.direction, push.heads)
    PASS(y, yRow, x, xRow, push.heads)
}
