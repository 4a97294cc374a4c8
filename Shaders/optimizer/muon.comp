// A step of Muon over a flat range of a matrix: p −= lr·wd·p; p −= lr·scale·x, x orthogonal. Keller Jordan et al.: Muon (2024).
#version 450
//! variants FAMILY = TEXEL SHARED
//! variants RATES = ONE EACH
#include "lib/load.glsl"
#include "lib/stripe.glsl"
#include "lib/step_state.glsl"

OUTPUT4(0, newParameters); // the memory of `parameters`
INPUT4(1, parameters);
INPUT4(2, x);
STEP_STATE(3);
STEP_RESULT(4, readonly);
#ifdef RATES_EACH
INPUT4(5, rates);
#endif

layout(push_constant) uniform Push {
    uint groupBase;
    uint count4;
    float scale; // of this shape
} push;

void main() {
    if (result.skipped != 0) return;
    float rate = state.learningRate;
    float decayRate = state.learningRate * state.weightDecay;

    FOR_EACH4(i, gl_WorkGroupID.x + push.groupBase, push.count4) {
#ifdef RATES_EACH
        vec4 multiplier = LOAD4(rates, i);
#else
        const float multiplier = 1.0;
#endif
        STORE4(newParameters, i, (1.0 - multiplier * decayRate) * LOAD4(parameters, i)
            - multiplier * rate * push.scale * LOAD4(x, i));
    }
}
