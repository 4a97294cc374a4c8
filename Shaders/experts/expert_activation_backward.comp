// Backward of what stands between an expert's matrices, a = f(gate)·up, where s·(a·Wᵀ) is summed over a token's experts and
// da = dy·W is the gradient of a but for the score s. One place a workgroup.
//   ds = Σ a·da,   dgate = s·da·up·f′(gate),   dup = s·da·f(gate)
#version 450
//! variants FAMILY = TEXEL SUBGROUP SHARED
#include "lib/load.glsl"
#include "lib/reduce.glsl"
#include "lib/activation.glsl"

OUTPUT4(0, dgate);   // (S, F), by place; may be gate itself
OUTPUT4(1, dup);
layout(std430, binding = 2) writeonly buffer DScoreStorage { float dscores[]; };  // (S), by slot
INPUT4(3, da);       // (S, F)
INPUT4(4, gate);
INPUT4(5, up);
layout(std430, binding = 6) readonly buffer ScoreStorage { float scores[]; };     // (S), by slot
layout(std430, binding = 7) readonly buffer OrderStorage { int order[]; };        // (S): the slot at each place

layout(push_constant) uniform Push {
    uint groupBase;
    uint width4;     // F / 4
    uint firstPlace; // of this span of the matrices
} push;

void main() {
    uint row = gl_WorkGroupID.x + push.groupBase;
    uint slot = uint(order[push.firstPlace + row]), start = row * push.width4;
    float score = scores[slot];
    vec4 sum = vec4(0);
    for (uint i = start + LANE; i < start + push.width4; i += LANES) {
        vec4 x = LOAD4(gate, i), u = LOAD4(up, i), d = LOAD4(da, i);
        vec4 p = activationFactor(x), f = activated(x, p), g = gateFactor(u);
        sum += d * f * g;
        d *= score;
        STORE4(dgate, i, timesSlope(d * g, x, p));
        STORE4(dup, i, timesGateSlope(d * f, u));
    }
    float total = groupSum(horizontalSum(sum));
    if (LANE == 0) dscores[slot] = total;
}
