// SimPO: −(1 − ε)·log σ(h) − ε·log σ(−h), h = β·(log p(chosen)/n − log p(rejected)/n′) − γ with n, n′
// targets. Meng et al. 2024.
#version 450
//! variants FAMILY = SUBGROUP SHARED
#include "lib/reduce.glsl"
#include "lib/answers.glsl"

layout(push_constant) uniform Push {
    uint groupBase;
    float beta;
    float gamma;
    float smoothing;
} push;

void main() {
    uint p = thisPair(push.groupBase);
    if (signs[p] == 0) return;
    vec2 counts = targetCounts(p);
    vec2 means = logPs(p) / counts;
    float h = push.beta * (means.x - means.y) - push.gamma;
    float slope = push.beta * ((1 - push.smoothing) * sigmoid(-h) - push.smoothing * sigmoid(h));
    writeWeights(p, vec2(slope, -slope) / counts);
}
