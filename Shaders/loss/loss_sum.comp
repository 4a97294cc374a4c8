// The sum of the per-row losses of a step, in a fixed order, by one workgroup.
#version 450
//! variants FAMILY = SUBGROUP SHARED
#include "lib/reduce.glsl"
#include "lib/wide_sum.glsl"
#include "lib/step_state.glsl"

STEP_RESULT(0, writeonly);
layout(std430, binding = 1) readonly buffer Losses { float losses[]; }; // (N)

layout(push_constant) uniform Push {
    uint groupBase;
    uint rows;
} push;

void main() {
    WideSum sum = WideSum(0, 0);
    for (uint row = LANE; row < push.rows; row += LANES) add(sum, losses[row]);
    float total = groupSum(sum);
    if (LANE == 0) result.lossSum = total;
}
