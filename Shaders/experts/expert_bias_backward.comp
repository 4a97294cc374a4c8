// What a bias behind an expert's last matrix is to the gradient of its score: ds[slot] += b[e]·dy[token]. One slot a workgroup.
#version 450
//! variants FAMILY = TEXEL SUBGROUP SHARED
#include "lib/load.glsl"
#include "lib/reduce.glsl"

layout(std430, binding = 0) buffer DScoreStorage { float dscores[]; };         // (S), by slot
INPUT4(1, dy);     // (N, C)
INPUT4(2, b);      // (E, C)
layout(std430, binding = 3) readonly buffer ExpertStorage { int experts[]; };  // (S), of each slot

layout(push_constant) uniform Push {
    uint groupBase;
    uint width4;      // C / 4
    uint used;        // slots of a token
    uint firstToken;  // of these rows of dy
} push;

void main() {
    uint group = gl_WorkGroupID.x + push.groupBase, slot = push.firstToken * push.used + group;
    uint row = group / push.used * push.width4, bias = uint(experts[slot]) * push.width4;
    vec4 sum = vec4(0);
    for (uint i = LANE; i < push.width4; i += LANES) sum += LOAD4(dy, row + i) * LOAD4(b, bias + i);
    float total = groupSum(horizontalSum(sum));
    if (LANE == 0) dscores[slot] += total;
}
