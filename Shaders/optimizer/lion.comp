// Lion over a flat range of parameters, the clipped gradient g·clipFactor: p −= lr·wd·p;  p −= lr·sign(β1·m + (1 − β1)·g);
// m = β2·m + (1 − β2)·g. Nothing changes in a skipped step. With RATES EACH every parameter multiplies lr by a number of its
// own. Chen et al.: Symbolic Discovery of Optimization Algorithms (2023), algorithm 2.
#version 450
//! variants FAMILY = TEXEL SHARED
//! variants RATES = ONE EACH
#include "lib/load.glsl"
#include "lib/stripe.glsl"
#include "lib/step_state.glsl"

// Each input of these two is the output's own memory.
OUTPUT4(0, newParameters);
OUTPUT4(1, newM);
INPUT4(2, parameters);
INPUT4(3, m);
INPUT4(4, gradients);
OPTIMIZER_STATE(5, float beta1; float oneMinusBeta1; float beta2; float oneMinusBeta2;);
STEP_RESULT(6, readonly);
#ifdef RATES_EACH
INPUT4(7, rates);
#endif

layout(push_constant) uniform Push {
    uint groupBase;
    uint count4;
} push;

void main() {
    if (result.skipped != 0) return;
    float rate = state.learningRate;
    float decayRate = state.learningRate * state.weightDecay;
    vec4 decay = vec4(state.beta1, state.oneMinusBeta1, state.beta2, state.oneMinusBeta2);
    float clip = result.clipFactor;

    FOR_EACH4(i, gl_WorkGroupID.x + push.groupBase, push.count4) {
        vec4 g = LOAD4(gradients, i) * clip;
#ifdef RATES_EACH
        vec4 multiplier = LOAD4(rates, i);
        g = mix(g, vec4(0), equal(multiplier, vec4(0))); // what is frozen may have any gradient
#else
        const float multiplier = 1.0;
#endif
        vec4 old = LOAD4(m, i);
        STORE4(newM, i, decay.z * old + decay.w * g);
        STORE4(newParameters, i, (1.0 - multiplier * decayRate) * LOAD4(parameters, i)
            - multiplier * rate * sign(decay.x * old + decay.y * g));
    }
}
