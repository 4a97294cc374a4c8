// log p of one answer a workgroup: −Σ of the losses of its targets, in a fixed order.
#version 450
//! variants FAMILY = SUBGROUP SHARED
#include "lib/reduce.glsl"
#include "lib/wide_sum.glsl"

layout(std430, binding = 0) writeonly buffer LogPs { float logps[]; };  // (2P)
layout(std430, binding = 1) readonly buffer Losses { float losses[]; }; // (n)
layout(std430, binding = 2) readonly buffer Ranges { ivec2 ranges[]; }; // (2P)

layout(push_constant) uniform Push { uint groupBase; } push;

void main() {
    uint answer = gl_WorkGroupID.x + push.groupBase;
    ivec2 range = ranges[answer];
    WideSum sum = WideSum(0, 0);
    for (uint i = range.x + LANE; i < range.y; i += LANES) add(sum, losses[i]);
    float total = groupSum(sum);
    if (LANE == 0) logps[answer] = -total;
}
