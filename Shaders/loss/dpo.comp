// Direct preference optimisation: h = (log p − log p_ref)(chosen) − (log p − log p_ref)(rejected), and
//   sigmoid  −(1 − ε)·log σ(βh) − ε·log σ(−βh)      Rafailov et al. 2023; ε label smoothing: Mitchell 2023
//   hinge    max(0, 1 − βh)                          Zhao et al. 2023 (SLiC), Liu et al. 2023 (RSO)
//   ipo      (h − 1/2β)², of log p a target          Azar et al. 2023
#version 450
//! variants FAMILY = SUBGROUP SHARED
#include "lib/reduce.glsl"
#include "lib/answers.glsl"
REFERENCES;

layout(push_constant) uniform Push {
    uint groupBase;
    float beta;
    float smoothing;
} push;

layout(constant_id = 1) const uint LOSS = 0; // sigmoid, hinge, ipo

void main() {
    uint p = thisPair(push.groupBase);
    if (signs[p] == 0) return;
    vec2 ratios = logPs(p) - vec2(references[2 * p], references[2 * p + 1]);
    vec2 scale = vec2(1, -1);
    if (LOSS == 2) {
        vec2 counts = targetCounts(p);
        ratios /= counts;
        scale /= counts;
    }
    float h = ratios.x - ratios.y;
    float slope; // −∂loss/∂h
    if (LOSS == 0) slope = push.beta * ((1 - push.smoothing) * sigmoid(-push.beta * h) - push.smoothing * sigmoid(push.beta * h));
    else if (LOSS == 1) slope = push.beta * h < 1 ? push.beta : 0.0;
    else slope = 1 / push.beta - 2 * h;
    writeWeights(p, slope * scale);
}
