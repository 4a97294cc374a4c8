// Which experts a token goes to, and how much each counts: those of its USED largest logits, of equal ones the first, by
// softmax(logits), or RENORMALISED by the softmax of these alone. A token an invocation.
// Shazeer et al.: Outrageously Large Neural Networks (2017).
#version 450

layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint LANES = 64;
layout(constant_id = 1) const bool RENORMALISED = false;

layout(std430, binding = 0) writeonly buffer ExpertStorage { int experts[]; };  // (N, used)
layout(std430, binding = 1) buffer ScoreStorage { float scores[]; };            // (N, used)
layout(std430, binding = 2) readonly buffer LogitStorage { float logits[]; };   // (N, pitch)

layout(push_constant) uniform Push {
    uint groupBase;
    uint tokens, experts, used, pitch;
} push;

void main() {
    uint token = (gl_WorkGroupID.x + push.groupBase) * LANES + gl_LocalInvocationID.x;
    if (token >= push.tokens) return;
    uint row = token * push.pitch, first = token * push.used;
    float largest = logits[row], sum = 0;
    for (uint e = 1; e < push.experts; e++) largest = max(largest, logits[row + e]);
    if (!RENORMALISED) for (uint e = 0; e < push.experts; e++) sum += exp(logits[row + e] - largest);

    // Each time the largest of those that come behind the last one found. Where none does, as with NaN, there is still an expert.
    float last = 0;
    uint found = 0;
    for (uint j = 0; j < push.used; j++) {
        uint best = min(j, push.experts - 1);
        float most = 0;
        bool any = false;
        for (uint e = 0; e < push.experts; e++) {
            float logit = logits[row + e];
            bool isLeft = j == 0 || logit < last || (logit == last && e > found);
            if (isLeft && (!any || logit > most)) {
                best = e;
                most = logit;
                any = true;
            }
        }
        last = most;
        found = best;
        float share = exp(most - largest);
        if (RENORMALISED) sum += share;
        experts[first + j] = int(best);
        scores[first + j] = share;
    }
    for (uint j = 0; j < push.used; j++) scores[first + j] /= sum;
}
