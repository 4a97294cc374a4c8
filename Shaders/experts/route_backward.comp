// Gradient of the router's logits from that of the scores s of the chosen experts, p = softmax(logits), g = σ(logits), D = Σ_j s_j·ds_j:
//   softmax  dl = p·(ds − D), ds = 0 of others               NORMALISED  dl = s·(ds − D) of the chosen
//   SIGMOID  dl = scale·ds·g·(1 − g) of the chosen           NORMALISED  dl = (scale·ds − D)/(Σ g)·g·(1 − g) of the chosen
// A token an invocation.
#version 450
#include "experts/scores.glsl"

layout(std430, binding = 0) writeonly buffer GradientStorage { float dlogits[]; };  // (N, pitch), 0 behind the experts
layout(std430, binding = 1) readonly buffer DScoreStorage { float dscores[]; };     // (N, used)
layout(std430, binding = 2) readonly buffer ScoreStorage { float scores[]; };
layout(std430, binding = 3) readonly buffer ExpertStorage { int experts[]; };
layout(std430, binding = 4) readonly buffer LogitStorage { float logits[]; };       // (N, pitch)

void main() {
    uint token = (gl_WorkGroupID.x + push.groupBase) * LANES + gl_LocalInvocationID.x;
    if (token >= push.tokens) return;
    uint row = token * push.pitch, first = token * push.used;
    float mean = 0;
    for (uint j = 0; j < push.used; j++) mean += scores[first + j] * dscores[first + j];

    bool isOfAll = !SIGMOID && !NORMALISED;
    float largest = logits[row], sum = 0;
    if (isOfAll) {
        for (uint e = 1; e < push.experts; e++) largest = max(largest, logits[row + e]);
        for (uint e = 0; e < push.experts; e++) sum += exp(logits[row + e] - largest);
    } else if (SIGMOID && NORMALISED) {
        sum = LEAST_SUM;
        for (uint j = 0; j < push.used; j++) sum += sigmoid(logits[row + uint(experts[first + j])]);
    }
    for (uint e = 0; e < push.pitch; e++)
        dlogits[row + e] = isOfAll && e < push.experts ? -mean * exp(logits[row + e] - largest) / sum : 0;
    for (uint j = 0; j < push.used; j++) {
        uint at = row + uint(experts[first + j]);
        float ds = dscores[first + j], gradient = scores[first + j] * (ds - mean);
        if (SIGMOID) {
            float g = sigmoid(logits[at]);
            gradient = (NORMALISED ? (push.scale * ds - mean) / sum : push.scale * ds) * g * (1 - g);
        }
        dlogits[at] = gradient;
    }
}
