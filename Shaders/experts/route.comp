// Which experts a token goes to, those of its `used` largest logits (or sigmoids, each with its bias), of equal ones the first, and how
// much each counts. A token an invocation.
// Shazeer et al.: Outrageously Large Neural Networks (2017); Wang et al.: Auxiliary-Loss-Free Load Balancing (2024), the bias.
#version 450
#include "experts/scores.glsl"

layout(constant_id = 3) const bool BIASED = false;

layout(std430, binding = 0) writeonly buffer ExpertStorage { int experts[]; };  // (N, used)
layout(std430, binding = 1) buffer ScoreStorage { float scores[]; };            // (N, used)
layout(std430, binding = 2) readonly buffer LogitStorage { float logits[]; };   // (N, pitch)
layout(std430, binding = 3) readonly buffer BiasStorage { float bias[]; };      // (E)

void main() {
    uint token = (gl_WorkGroupID.x + push.groupBase) * LANES + gl_LocalInvocationID.x;
    if (token >= push.tokens) return;
    uint row = token * push.pitch, first = token * push.used;
    float largest = 0, sum = NORMALISED && SIGMOID ? LEAST_SUM : 0;
    if (!SIGMOID) {
        largest = logits[row];
        for (uint e = 1; e < push.experts; e++) largest = max(largest, logits[row + e]);
        if (!NORMALISED) for (uint e = 0; e < push.experts; e++) sum += exp(logits[row + e] - largest);
    }

    // Each time the largest of those that come behind the last one found. Where none does, as with NaN, there is still an expert.
    float last = 0;
    uint found = 0;
    for (uint j = 0; j < push.used; j++) {
        uint best = min(j, push.experts - 1);
        float most = 0;
        bool any = false;
        for (uint e = 0; e < push.experts; e++) {
            float value = logits[row + e];
            if (SIGMOID) value = sigmoid(value);
            if (BIASED) value += bias[e];
            bool isLeft = j == 0 || value < last || (value == last && e > found);
            if (isLeft && (!any || value > most)) {
                best = e;
                most = value;
                any = true;
            }
        }
        last = most;
        found = best;
        float logit = logits[row + best], share = SIGMOID ? sigmoid(logit) : exp(logit - largest);
        if (NORMALISED) sum += share;
        experts[first + j] = int(best);
        scores[first + j] = share;
    }
    float factor = SIGMOID && !NORMALISED ? push.scale : push.scale / sum;
    for (uint j = 0; j < push.used; j++) scores[first + j] *= factor;
}
