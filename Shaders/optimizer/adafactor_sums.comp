// Σ u² over a row of u = g/√(r·c), one a workgroup: r and c are the averages of the row and of the columns. Adafactor's update is
// √mean(r)·u (adafactor_scale.comp).
#version 450
//! variants FAMILY = SUBGROUP SHARED
//! variants RATES = ONE EACH
#include "lib/reduce.glsl"
#include "lib/step_state.glsl"

layout(std430, binding = 0) writeonly buffer Sums { float sums[]; };
layout(std430, binding = 1) readonly buffer Rows { float rows[]; };
layout(std430, binding = 2) readonly buffer Columns { float columns[]; };
layout(std430, binding = 3) readonly buffer Gradients { float gradients[]; };
STEP_RESULT(4, readonly);
#ifdef RATES_EACH
layout(std430, binding = 5) readonly buffer Rates { float rates[]; };
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
    float squares = 0;
    for (uint i = LANE; i < push.width; i += LANES) {
        float u = clipped(row * push.pitch + i) * perRow * inversesqrt(columns[i]);
        squares += u * u;
    }
    float sum = groupSum(squares);
    if (LANE == 0) sums[row] = sum;
}
