// A row of a step of Adafactor, one a workgroup: p −= lr·wd·p; p −= lr·s·g/√(r·c), r and c the averages of the row and of the
// columns, s of adafactor_scale.comp. Shazeer, Stern: Adafactor (2018), algorithm 4, with a given learning rate.
#version 450
//! variants FAMILY = SUBGROUP SHARED
//! variants RATES = ONE EACH
#include "lib/reduce.glsl"
#include "lib/step_state.glsl"

layout(std430, binding = 0) buffer Parameters { float parameters[]; };
layout(std430, binding = 1) readonly buffer Rows { float rows[]; };
layout(std430, binding = 2) readonly buffer Columns { float columns[]; };
layout(std430, binding = 3) readonly buffer Scale { float scale[]; };
layout(std430, binding = 4) readonly buffer Gradients { float gradients[]; };
STEP_STATE(5);
STEP_RESULT(6, readonly);
#ifdef RATES_EACH
layout(std430, binding = 7) readonly buffer Rates { float rates[]; };
#endif
#include "lib/clipped_gradient.glsl"

layout(push_constant) uniform Push {
    uint groupBase;
    uint width; // columns
    uint pitch; // from one row to the next
} push;

void main() {
    if (result.skipped != 0) return;
    uint row = gl_WorkGroupID.x + push.groupBase;
    float perRow = inversesqrt(rows[row]);
    float factor = scale[0];
    for (uint i = LANE; i < push.width; i += LANES) {
        uint at = row * push.pitch + i;
#ifdef RATES_EACH
        float rate = state.learningRate * rates[at];
#else
        float rate = state.learningRate;
#endif
        float u = clipped(at) * perRow * inversesqrt(columns[i]);
        parameters[at] = (1.0 - rate * state.weightDecay) * parameters[at] - rate * factor * u;
    }
}
