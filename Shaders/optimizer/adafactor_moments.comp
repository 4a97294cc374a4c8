// Moving averages of the mean squares of a gradient's rows, or of its columns: a = β2·a + (1 − β2)·(mean(g²) + ε), one a
// workgroup. Shazeer, Stern: Adafactor (2018), algorithm 4.
#version 450
//! variants FAMILY = SUBGROUP SHARED
//! variants RATES = ONE EACH
#include "lib/reduce.glsl"
#include "lib/step_state.glsl"

layout(std430, binding = 0) buffer Averages { float averages[]; };
layout(std430, binding = 1) readonly buffer Gradients { float gradients[]; };
OPTIMIZER_STATE(2, float beta2; float oneMinusBeta2; float epsilon; float limit;);
STEP_RESULT(3, readonly);
#ifdef RATES_EACH
layout(std430, binding = 4) readonly buffer Rates { float rates[]; };
#endif
#include "lib/clipped_gradient.glsl"

layout(push_constant) uniform Push {
    uint groupBase;
    uint count;  // numbers of a row, or of a column
    uint stride; // from one to the next
    uint pitch;  // from one row, or column, to the next
} push;

void main() {
    if (result.skipped != 0) return;
    uint row = gl_WorkGroupID.x + push.groupBase;
    float squares = 0;
    for (uint i = LANE; i < push.count; i += LANES) {
        float g = clipped(row * push.pitch + i * push.stride);
        squares += g * g;
    }
    float mean = groupSum(squares) / float(push.count) + state.epsilon;
    if (LANE == 0) averages[row] = state.beta2 * averages[row] + state.oneMinusBeta2 * mean;
}
