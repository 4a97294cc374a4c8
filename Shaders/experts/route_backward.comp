// Gradient of the router's logits from that of the scores s of the chosen experts, p = softmax(logits), D = Σ_j s_j·ds_j:
//   RENORMALISED  dl = s·(ds − D) of the chosen, 0 of others       otherwise  dl = p·(ds − D), ds = 0 of others
// A token an invocation.
#version 450

layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint LANES = 64;
layout(constant_id = 1) const bool RENORMALISED = false;

layout(std430, binding = 0) writeonly buffer GradientStorage { float dlogits[]; };  // (N, pitch), 0 behind the experts
layout(std430, binding = 1) readonly buffer DScoreStorage { float dscores[]; };     // (N, used)
layout(std430, binding = 2) readonly buffer ScoreStorage { float scores[]; };
layout(std430, binding = 3) readonly buffer ExpertStorage { int experts[]; };
layout(std430, binding = 4) readonly buffer LogitStorage { float logits[]; };       // (N, pitch)

layout(push_constant) uniform Push {
    uint groupBase;
    uint tokens, experts, used, pitch;
} push;

void main() {
    uint token = (gl_WorkGroupID.x + push.groupBase) * LANES + gl_LocalInvocationID.x;
    if (token >= push.tokens) return;
    uint row = token * push.pitch, first = token * push.used;
    float mean = 0;
    for (uint j = 0; j < push.used; j++) mean += scores[first + j] * dscores[first + j];

    float largest = logits[row], sum = 0;
    if (!RENORMALISED) {
        for (uint e = 1; e < push.experts; e++) largest = max(largest, logits[row + e]);
        for (uint e = 0; e < push.experts; e++) sum += exp(logits[row + e] - largest);
    }
    for (uint e = 0; e < push.pitch; e++)
        dlogits[row + e] = RENORMALISED || e >= push.experts ? 0 : -mean * exp(logits[row + e] - largest) / sum;
    for (uint j = 0; j < push.used; j++)
        dlogits[row + uint(experts[first + j])] = scores[first + j] * (dscores[first + j] - mean);
}
