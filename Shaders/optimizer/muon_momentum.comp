// Muon's momentum over a flat range: b = μ·b + (1 − μ)·g, and what is made orthogonal of it: x = (1 − μ)·g + μ·b with Nesterov's
// look ahead, else b. Keller Jordan et al.: Muon (2024); torch.optim.Muon.
#version 450
//! variants FAMILY = TEXEL SHARED
//! variants RATES = ONE EACH
#include "lib/load.glsl"
#include "lib/stripe.glsl"
#include "lib/step_state.glsl"

OUTPUT4(0, x);
OUTPUT4(1, newMomentum); // the memory of `momentum`
INPUT4(2, momentum);
INPUT4(3, gradients);
OPTIMIZER_STATE(4, ADAMW_SETTINGS float momentumFactor; float oneMinusMomentum; float ahead;);
STEP_RESULT(5, readonly);
#ifdef RATES_EACH
INPUT4(6, rates);
#endif

layout(push_constant) uniform Push {
    uint groupBase;
    uint count4;
} push;

void main() {
    if (result.skipped != 0) return;
    float factor = state.momentumFactor, rest = state.oneMinusMomentum;
    bool isAhead = state.ahead != 0;
    float clip = result.clipFactor;

    FOR_EACH4(i, gl_WorkGroupID.x + push.groupBase, push.count4) {
        vec4 g = LOAD4(gradients, i) * clip;
#ifdef RATES_EACH
        g = mix(g, vec4(0), equal(LOAD4(rates, i), vec4(0))); // what is frozen may have any gradient
#endif
        vec4 velocity = factor * LOAD4(momentum, i) + rest * g;
        STORE4(newMomentum, i, velocity);
        STORE4(x, i, isAhead ? rest * g + factor * velocity : velocity);
    }
}
