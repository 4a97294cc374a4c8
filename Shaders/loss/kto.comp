// KTO: λ·(1 − σ(β(r − z))) of an answer that is wanted, λ′·(1 − σ(β(z − r))) of one that is not, where r =
// log p − log p_ref and z, at least 0, is the mean of r over the pass's pairs of a prompt and another's
// answer, which gets no gradient. Ethayarajh et al. 2024.
#version 450
//! variants FAMILY = SUBGROUP SHARED
#include "lib/reduce.glsl"
#include "lib/wide_sum.glsl"
#include "lib/answers.glsl"
REFERENCES;

layout(push_constant) uniform Push {
    uint groupBase;
    uint pairs;
    float beta;
    float desirable;
    float undesirable;
} push;

float ratio(uint answer) { return logps[answer] - references[answer]; }

void main() {
    uint p = thisPair(push.groupBase);
    float sign = signs[p];
    if (sign == 0) return;
    WideSum sum = WideSum(0, 0);
    float count = 0;
    for (uint i = LANE; i < push.pairs; i += LANES) {
        if (signs[i] == 0) continue;
        add(sum, ratio(2 * i + 1));
        count += 1;
    }
    float z = max(0, groupSum(sum) / groupSum(count));
    float s = sigmoid(sign * push.beta * (ratio(2 * p) - z));
    float size = sign > 0 ? push.desirable : push.undesirable;
    writeWeights(p, vec2(sign * size * push.beta * s * (1 - s), 0));
}
