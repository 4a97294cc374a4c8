// What attention needs of new tokens behind a cache, one token a workgroup: queries rotated, keys rotated into the cache's
// rows from `offset` on, values copied there. The offset lies in memory, so that a recorded step serves every token.
#version 450
//! variants FAMILY = TEXEL SHARED
#include "lib/load.glsl"
#include "attention/rotate.glsl"

OUTPUT4(0, rotated);    // (tokens, heads · D): q, in its place
OUTPUT4(1, keys);         // (capacity, kvHeads · D)
OUTPUT4(2, values);
INPUT4(3, q);
INPUT4(4, k);                                                                     // (tokens, kvHeads · D)
INPUT4(5, v);
INPUT4(6, table);                                                                 // (positions, R): cosines, sines
layout(std430, binding = 7) readonly buffer PositionStorage { uint positions[]; };
layout(std430, binding = 8) readonly buffer OffsetStorage { uint offset[]; };
layout(push_constant) uniform Push {
    uint groupBase;
    uint heads;
    uint kvHeads;
    uint lastPosition;
    uint firstToken;   // of this span of the tokens
    uint capacity;
    uint qPitch;       // vec4s from row to row
    uint qColumn;      // vec4s in front of the first
    uint kPitch;
    uint kColumn;
    uint vPitch;
    uint vColumn;
} push;

void main() {
    uint token = gl_WorkGroupID.x + push.groupBase;
    uint angles = min(positions[token], push.lastPosition) * ROTARY_SIZE;
    uint qRow = token * push.qPitch + push.qColumn;
    ROTATE(rotated, qRow, q, qRow, table, angles, 1.0, push.heads)

    uint width4 = push.kvHeads * HEAD4, cacheToken = offset[0] + push.firstToken + token;
    if (cacheToken >= push.capacity) return;
    uint cacheRow = cacheToken * width4;
    uint kRow = token * push.kPitch + push.kColumn, vRow = token * push.vPitch + push.vColumn;
    ROTATE(keys, cacheRow, k, kRow, table, angles, 1.0, push.kvHeads)
    PASS(keys, cacheRow, k, kRow, push.kvHeads)
    for EACH(i, width4) STORE4(values, cacheRow + i, LOAD4(v, vRow + i));
}
