// Second half of the gradient norm, one workgroup: norm = √Σ partials, clipFactor = min(1, max/(norm + 1e-6)), and the
// order to skip the update where the norm is not finite. Reference: torch.nn.utils.clip_grad_norm_.
#version 450
//! variants FAMILY = SUBGROUP SHARED
#include "lib/reduce.glsl"
#include "lib/wide_sum.glsl"
#include "lib/step_state.glsl"

STEP_RESULT(0, writeonly);
layout(std430, binding = 1) readonly buffer Partials { float partials[]; };
STEP_STATE(2);

layout(push_constant) uniform Push {
    uint groupBase;
    uint count;
} push;

// On the bits: a compiler may assume that floats are finite.
bool finite(float x) { return (floatBitsToUint(x) & 0x7f800000u) != 0x7f800000u; }

void main() {
    WideSum sum = WideSum(0, 0);
    for (uint i = LANE; i < push.count; i += LANES) add(sum, partials[i]);
    float norm = sqrt(groupSum(sum));
    bool skipped = !finite(norm);
    if (LANE == 0) {
        result.gradientNorm = norm;
        result.skipped = skipped ? 1 : 0;
        result.clipFactor =
            skipped ? 0.0 : state.maxGradientNorm > 0 ? min(1.0, state.maxGradientNorm / (norm + 1e-6)) : 1.0;
    }
}
