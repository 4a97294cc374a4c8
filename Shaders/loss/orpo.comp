// ORPO: −m − λ·log σ(r), r = (m − log(1 − eᵐ)) − (m′ − log(1 − eᵐ′)), where m = log p(chosen)/n and m′ = log
// p(rejected)/n′ of n, n′ targets. Hong et al. 2024. ∂(m − log(1 − eᵐ))/∂m = 1/(1 − eᵐ).
#version 450
//! variants FAMILY = SUBGROUP SHARED
#include "lib/reduce.glsl"
#include "lib/answers.glsl"

layout(push_constant) uniform Push {
    uint groupBase;
    float lambda;
    float limit; // m is at most this: at 0 the odds are infinite
} push;

/// 1 − eˣ for x < 0
float oneMinusExp(float x) {
    return x > -0.01 ? -x * (1 + x / 2 * (1 + x / 3 * (1 + x / 4))) : 1 - exp(x);
}

void main() {
    uint p = thisPair(push.groupBase);
    if (signs[p] == 0) return;
    vec2 counts = targetCounts(p);
    vec2 means = min(logPs(p) / counts, vec2(push.limit));
    vec2 rest = vec2(oneMinusExp(means.x), oneMinusExp(means.y));
    float r = (means.x - log(rest.x)) - (means.y - log(rest.y));
    float slope = push.lambda * sigmoid(-r);
    writeWeights(p, (vec2(1, 0) + vec2(slope, -slope) / rest) / counts);
}
