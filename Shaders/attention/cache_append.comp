// What attention needs of new tokens behind a cache, one token a workgroup: queries rotated, keys rotated into the cache's
// rows from `offset` on, values copied there. The offset lies in memory, so that a recorded step serves every token.
#version 450
//! variants FAMILY = TEXEL SHARED
#include "lib/load.glsl"

layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint LANES = 8;
layout(constant_id = 1) const uint HEAD_SIZE = 64;     // a multiple of 8
#include "attention/rotate.glsl"

OUTPUT4(0, rotated);    // (tokens, heads · D); may be q
OUTPUT4(1, keys);         // (capacity, kvHeads · D)
OUTPUT4(2, values);
INPUT4(3, q);
INPUT4(4, k);                                                                     // (tokens, kvHeads · D)
INPUT4(5, v);
INPUT4(6, table);                                                                 // (positions, D): cosines, sines
layout(std430, binding = 7) readonly buffer PositionStorage { uint positions[]; };
layout(std430, binding = 8) readonly buffer OffsetStorage { uint offset[]; };
layout(push_constant) uniform Push {
    uint groupBase;
    uint heads;
    uint kvHeads;
    uint lastPosition;
    uint firstToken;   // of this span of the tokens
    uint capacity;
} push;

void main() {
    uint token = gl_WorkGroupID.x + push.groupBase;
    uint angles = min(positions[token], push.lastPosition) * 2 * HALF4;
    uint queryRow = token * push.heads * 2 * HALF4;
    for (uint i = gl_LocalInvocationID.x; i < push.heads * HALF4; i += LANES)
        ROTATE(rotated, queryRow, q, queryRow, table, angles, 1.0, i)

    uint width4 = push.kvHeads * 2 * HALF4;
    uint row = token * width4, cacheToken = offset[0] + push.firstToken + token;
    if (cacheToken >= push.capacity) return;
    uint cacheRow = cacheToken * width4;
    for (uint i = gl_LocalInvocationID.x; i < push.kvHeads * HALF4; i += LANES)
        ROTATE(keys, cacheRow, k, row, table, angles, 1.0, i)
    for (uint i = gl_LocalInvocationID.x; i < width4; i += LANES) STORE4(values, cacheRow + i, LOAD4(v, row + i));
}
