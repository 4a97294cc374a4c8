// The loss of vectors of texts that belong together, and its gradient, an example a workgroup. LOSS says which:
//   0  (a·b − score)² of vectors of length 1: their cosine
//   1  max(0, ‖a − b‖ − ‖a − c‖ + margin) of an anchor, a text like it and one unlike it
// Reimers, Gurevych: Sentence-BERT (2019).
#version 450
//! variants FAMILY = SUBGROUP SHARED
#include "lib/load.glsl"
#include "lib/reduce.glsl"
#include "lib/step_state.glsl"

layout(constant_id = 1) const uint LOSS = 0;
const uint TRIPLET = 1;

OUTPUT4(0, da);                                                       // (P, C)
OUTPUT4(1, db);
OUTPUT4(2, dc);                                                       // only of triplets
layout(std430, binding = 3) writeonly buffer Losses { float losses[]; }; // (P)
INPUT4(4, a);
INPUT4(5, b);
INPUT4(6, c);
layout(std430, binding = 7) readonly buffer Scores { float scores[]; };  // (P)
STEP_STATE(8);

layout(push_constant) uniform Push {
    uint groupBase;
    uint width4;  // C / 4
    uint first;   // example of this span
    float margin;
} push;

float total(vec4 sums) { return groupSum(sums.x + sums.y + sums.z + sums.w); }

void main() {
    uint row = gl_WorkGroupID.x + push.groupBase, start = row * push.width4;
    uint example = push.first + row;
    vec4 first = vec4(0), second = vec4(0);
    for (uint i = LANE; i < push.width4; i += LANES) {
        vec4 own = LOAD4(a, start + i);
        if (LOSS == TRIPLET) {
            vec4 near = own - LOAD4(b, start + i), far = own - LOAD4(c, start + i);
            first += near * near;
            second += far * far;
        } else {
            first += own * LOAD4(b, start + i);
        }
    }
    if (LOSS == TRIPLET) {
        float near = sqrt(total(first)), far = sqrt(total(second));
        float loss = max(near - far + push.margin, 0);
        float scale = loss > 0 ? state.lossScale : 0;
        float perNear = near > 0 ? scale / near : 0, perFar = far > 0 ? scale / far : 0;
        for (uint i = LANE; i < push.width4; i += LANES) {
            vec4 own = LOAD4(a, start + i);
            vec4 toNear = (own - LOAD4(b, start + i)) * perNear, toFar = (own - LOAD4(c, start + i)) * perFar;
            STORE4(da, start + i, toNear - toFar);
            STORE4(db, start + i, -toNear);
            STORE4(dc, start + i, toFar);
        }
        if (LANE == 0) losses[example] = loss;
    } else {
        float error = total(first) - scores[example], scale = 2 * error * state.lossScale;
        for (uint i = LANE; i < push.width4; i += LANES) {
            vec4 own = LOAD4(a, start + i), other = LOAD4(b, start + i);
            STORE4(da, start + i, scale * other);
            STORE4(db, start + i, scale * own);
        }
        if (LANE == 0) losses[example] = error * error;
    }
}
