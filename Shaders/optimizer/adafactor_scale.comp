// What Adafactor's u (adafactor_sums.comp) is multiplied by, one workgroup: s = √mean(r), and where the root of the mean square of
// s·u is above the limit d, so much less that it is d.
#version 450
//! variants FAMILY = SUBGROUP SHARED
#include "lib/reduce.glsl"
#include "lib/step_state.glsl"

layout(std430, binding = 0) writeonly buffer Scale { float scale[]; };
layout(std430, binding = 1) readonly buffer Rows { float rows[]; };
layout(std430, binding = 2) readonly buffer Sums { float sums[]; };
OPTIMIZER_STATE(3, float beta2; float oneMinusBeta2; float epsilon; float limit;);
STEP_RESULT(4, readonly);

layout(push_constant) uniform Push {
    uint groupBase;
    uint height; // rows
    uint width;  // columns
} push;

void main() {
    if (result.skipped != 0) return;
    float ofRows = 0, squares = 0;
    for (uint i = LANE; i < push.height; i += LANES) {
        ofRows += rows[i];
        squares += sums[i];
    }
    float root = sqrt(groupSum(ofRows) / float(push.height));
    float size = root * sqrt(groupSum(squares) / (float(push.height) * float(push.width)));
    if (LANE == 0) scale[0] = root / max(1.0, size / state.limit);
}
